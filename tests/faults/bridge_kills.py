"""Kill the broker, Redis and the MQTT bridges under load, and compare what was sent with Redis.

Two bridges serve two publishers. mosquitto acknowledges before it saves, so the publishers repeat
what it acknowledged after it last saved, once it has restarted. mosquitto 2.0.11 forgets shared
subscriptions when it restarts, so it is not killed while the bridges share a topic.

With `is_sentinel`, Redis is a master with two replicas and three sentinels, at the durability
`replicated`: instead of Redis and the broker, the master is killed or paused until a replica has
taken over.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from support.ledger import METRIC, stored
from support.mosquitto import Mosquitto
from support.pipeline import environ
from support.processes import Process, Server, tributary
from support.publisher import MessageOf, Publisher
from support.sentinels import Sentinels
from support.waiting import wait_until

from faults.failover_load import CONFIG
from tributary.errors import TributaryError
from tributary.operate import bridges, status
from tributary.settings import Settings
from tributary.store import redis_client

_KINDS = ("broker", "redis", "bridge", "bridge at a failpoint")
_SENTINEL_KINDS = ("master", "paused master", "bridge", "bridge at a failpoint")
_BRIDGES = 2
_PUBLISHERS = 2
_TIMEOUT_S = 90.0
_MAPPING = """
[[topic]]
filter = "storm/+/+"
format = "json"
id = "id"
"""


class Options(NamedTuple):
    """The options of a run."""

    kills: int = 100
    seed: int = 1
    is_keyed: bool = True  # each message carries an id
    is_shared: bool = False  # the bridges divide the messages, and the broker is not killed
    is_sentinel: bool = False
    pause_s: float = 0.002  # between the messages of a publisher


class Outcome(NamedTuple):
    """What was sent, and what Redis has of it."""

    kills: Counter[str]
    sent: int
    counted: int
    lost: int
    duplicates: int
    repeated: int  # messages that a publisher sent again after a kill of the broker
    messages: dict[str, int]  # of the bridges, by outcome


class BridgeStorm:
    """A broker, Redis, two bridges and an aggregator under load."""

    def __init__(self, folder: Path, options: Options) -> None:
        self._folder = folder
        self._options = options
        self._random = random.Random(options.seed)
        self._servers: Server | Sentinels
        if options.is_sentinel:
            self._servers = Sentinels(folder / "redis", config=CONFIG["replicated"])
        else:
            self._servers = Server(folder / "redis", appendfsync="always")
        self._broker = Mosquitto(folder / "broker")
        (folder / "mapping.toml").write_text(_MAPPING)
        self._settings = Settings(
            redis_url=self._servers.url, stream_max_entries=10_000_000,
            durability="replicated" if options.is_sentinel else "fsync",
            heartbeat_ms=100, mqtt_broker=self._broker.url,
            mqtt_share="storm" if options.is_shared else "",
            mqtt_mapping=str(folder / "mapping.toml") if options.is_keyed else "",
        )  # fmt: skip
        self._aggregator = tributary("aggregator", environ=environ(self._settings))
        self._bridges = [self._bridge(number) for number in range(_BRIDGES)]
        self._publishers: list[Publisher] = []
        self.kills: Counter[str] = Counter()

    def run(self) -> Iterator[str]:
        """Kill `options.kills` processes; yields the kind of each."""
        self._wait_for_bridges()
        for number in range(_PUBLISHERS):
            message = self._message(number)
            pause_s = self._options.pause_s
            self._publishers.append(
                Publisher(self._broker.port, f"publisher-{number}", message, pause_s)
            )
            self._publishers[-1].start()
        for number in range(self._options.kills):
            self._wait_for_progress(self._random.randrange(1, 200))
            kinds = _KINDS[self._options.is_shared :]
            kinds = _SENTINEL_KINDS if self._options.is_sentinel else kinds
            kind = kinds[number % len(kinds)]
            self._kill(kind)
            self.kills[kind] += 1
            yield kind

    def outcome(self) -> Outcome:
        """Wait until Redis has everything, or nothing more arrives, and compare."""
        for publisher in self._publishers:
            assert publisher.finish(_TIMEOUT_S), "the broker did not acknowledge everything"
        sent = {
            (f"car-{number}", float(value))
            for number, publisher in enumerate(self._publishers)
            for value in range(publisher.sent)
        }
        with contextlib.suppress(AssertionError):
            wait_until(lambda: sent <= self._stored().keys(), "every message", _TIMEOUT_S)
        self._wait_for_bridges()
        client = redis_client.connect(self._settings)
        try:
            wait_until(lambda: status.read(client, self._settings).pending == 0, "a drain", 60)
            wait_until(lambda: bridges.messages(client).get("stored"), "counts of the bridges")
            applied = status.read(client, self._settings).applied
            held = self._stored()
            return Outcome(
                self.kills,
                len(sent),
                applied,
                len(sent - held.keys()),
                sum(held.values()) - len(held),
                sum(len(publisher.repeated) for publisher in self._publishers),
                bridges.messages(client),
            )
        finally:
            client.close()

    def close(self) -> None:
        """Stop everything."""
        for publisher in self._publishers:
            publisher.finish(0)
        for process in (*self._bridges, self._aggregator):
            process.kill()
        self._broker.kill()
        self._servers.close()

    def _message(self, number: int) -> MessageOf:
        device = f"car-{number}"

        def message(value: int) -> tuple[str, str]:
            if not self._options.is_keyed:
                return f"storm/{device}/{METRIC}", str(value)
            body = {"device": f"storm/{device}", "id": value, METRIC: value}
            return f"storm/{device}/json", json.dumps(body)

        return message

    def _bridge(self, number: int, fail: str = "") -> Process:
        variables = environ(self._settings, fail)
        variables["TRIBUTARY_MQTT_CLIENT_ID"] = f"bridge-{number}"
        device = "+" if self._options.is_shared else f"car-{number}"
        variables["TRIBUTARY_MQTT_TOPIC"] = f"storm/{device}/+"
        return tributary("mqtt", environ=variables)

    def _kill(self, kind: str) -> None:
        number = self._random.randrange(_BRIDGES)
        if kind == "broker":
            self._broker.kill()
            saved_at_s = self._broker.saved_at_s
            self._broker.start()
            for publisher in self._publishers:
                publisher.repeat(saved_at_s)
        elif kind == "redis":
            assert isinstance(self._servers, Server)
            self._servers.kill()
            self._servers.start()
        elif "master" in kind:
            self._fail_over(is_paused=kind != "master")
        elif kind == "bridge":
            self._bridges[number].kill()
            self._bridges[number] = self._bridge(number)
        else:
            point = self._random.choice(("before_append", "after_append"))
            self._bridges[number].kill()
            fail = f"{point}:{self._random.randrange(1, 20)}"
            self._bridges[number] = dying = self._bridge(number, fail)
            wait_until(lambda: dying.popen.poll() is not None, f"a bridge to die at {fail}")
            dying.kill()
            self._bridges[number] = self._bridge(number)

    def _fail_over(self, *, is_paused: bool) -> None:
        assert isinstance(self._servers, Sentinels)
        old = self._servers.master
        if is_paused:
            old.process.signal(signal.SIGSTOP)
        else:
            old.process.kill()
        self._servers.wait_for_another(old)
        self._wait_for_progress(1)
        if is_paused:
            old.process.signal(signal.SIGCONT)
        else:
            old.start()
        self._servers.wait_until_whole()

    def _wait_for_progress(self, count: int) -> None:
        before = self._accepted()
        wait_until(lambda: self._accepted() >= before + count, "readings", _TIMEOUT_S)

    def _wait_for_bridges(self) -> None:
        client = redis_client.connect(self._settings)
        try:
            wait_until(lambda: len(bridges.alive(client)) == _BRIDGES, "the bridges", _TIMEOUT_S)
        finally:
            client.close()

    def _accepted(self) -> int:
        """How many readings are accepted; 0 while Redis does not reply."""
        with (
            contextlib.suppress(TributaryError),
            contextlib.closing(redis_client.connect(self._settings)) as client,
        ):
            return int(status.read(client, self._settings).accepted)
        return 0

    def _stored(self) -> Counter[tuple[str, float]]:
        """How often each message is in the streams."""
        with contextlib.closing(redis_client.connect(self._settings)) as client:
            found = stored(client, self._settings)
        return Counter(
            (device.removeprefix("storm/"), value)
            for device, values in found.items()
            for value in values
        )
