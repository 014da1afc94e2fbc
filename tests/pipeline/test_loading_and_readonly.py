"""What each path responds while Redis loads its file, and while it has become a replica."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from paho.mqtt import publish
from paho.mqtt.client import MQTTv5
from support import pipeline
from support.mosquitto import Mosquitto
from support.persistence import is_loading, is_rewriting
from support.pipeline import Run
from support.processes import Reply, Server, exchange
from support.sse import Ear
from support.waiting import wait_until

from tributary.errors import Unavailable
from tributary.operate import job_queue
from tributary.operate.forgetting import records, requests
from tributary.settings import Settings
from tributary.store import redis_client

DEVICE, OTHER, FROM_BROKER = "car-1", "gone-1", "car-2"
TIMEOUT_MS = 400  # of Redis
FILLERS, FILLER_US = 3_000, 10_000  # keys of the file, and how long each takes to load
FILES = {
    "key_load_delay": str(FILLER_US),
    "loading_process_events_interval_bytes": "1024",
    "appendfsync": "always",
}
RECOVERED_S = 15.0  # after that, a path has not recovered


class Site:
    """All roles on one server, with a broker."""

    def __init__(self, run: Run, server: Server, broker: Mosquitto, folder: Path) -> None:
        self.server, self.broker = server, broker
        self.settings = Settings(
            redis_url=server.url, heartbeat_ms=100, redis_timeout_ms=TIMEOUT_MS,
            data_dir=str(folder / "data"), mqtt_broker=broker.url, mqtt_topic="#",
        )  # fmt: skip
        environ = pipeline.environ(self.settings)
        for role in ("aggregator", "jobs", "mqtt"):
            run(role, environ=environ)
        self.ingest = pipeline.ingest(run, self.settings)
        self.flask = pipeline.serving(
            run("ingest", "--port", "0", environ={**environ, "TRIBUTARY_LANE": "false"})
        )
        self.api = pipeline.serving(run("api", "--port", "0", environ=environ))
        self.accepted = self._keys = self.published = 0

    def record(self, url: str = "", **headers: str) -> Reply:
        """Record a reading of `DEVICE`."""
        reply = exchange(
            url or self.ingest, "POST", "/record", {"device": DEVICE, "speed": 1}, **headers
        )
        self.accepted += reply.status == 200
        return reply

    def record_with_key(self) -> Reply:
        """Record a reading with a key of its own."""
        self._keys += 1
        return self.record(Idempotency_Key=f"key-{self._keys}")

    def publish(self) -> None:
        """Publish a reading of `FROM_BROKER`."""
        self.published += 1
        text = json.dumps({"device": FROM_BROKER, "speed": self.published})
        publish.single("any", text, qos=1, port=self.broker.port, protocol=MQTTv5)

    def read(self, path: str, url: str = "") -> Reply:
        """The response to a request to read."""
        return exchange(url or self.api, "GET", path)

    def paths(self) -> dict[str, Callable[[], Reply]]:
        """Each path with its request."""
        device = f"/api/v1/devices/{DEVICE}"
        return {
            "record": self.record,
            "record with a key": self.record_with_key,
            "record without the lane": lambda: self.record(self.flask),
            "ready to record": lambda: self.read("/readyz", self.ingest),
            "export": lambda: exchange(self.api, "POST", "/api/v1/exports", {}),
            "collect": lambda: self.read(f"/collect?device={DEVICE}"),
            "list": lambda: self.read("/api/v1/devices"),
            "fleet": lambda: self.read("/api/v1/fleet"),
            "device": lambda: self.read(device),
            "history": lambda: self.read(f"{device}/metrics/speed/history?window=1h"),
            "alerts": lambda: self.read("/api/v1/alerts"),
            "status": lambda: self.read("/api/v1/status"),
            "ready to read": lambda: self.read("/readyz"),
            "metrics": lambda: self.read("/metrics"),
            "alive": lambda: self.read("/healthz"),
        }

    def responses(self) -> dict[str, Reply]:
        """What each path responds now."""
        paths = self.paths()
        with ThreadPoolExecutor(len(paths)) as pool:
            replies = pool.map(lambda respond: respond(), paths.values())
            return dict(zip(paths, replies, strict=True))

    def wait_until_recovered(self, since_s: float) -> dict[str, float]:
        """Wait until each path works; after how many seconds it did."""

        def recovered(respond: Callable[[], Reply]) -> float:
            wait_until(lambda: respond().status < 300, "a path to work", RECOVERED_S)
            return round(time.monotonic() - since_s, 2)

        paths = self.paths()
        with ThreadPoolExecutor(len(paths)) as pool:
            return dict(zip(paths, pool.map(recovered, paths.values()), strict=True))

    def count(self, device: str) -> int:
        """How many readings of a device are applied."""
        reply = self.read(f"/api/v1/devices/{device}")
        return int(reply.json["metrics"]["speed"]["total"]["count"]) if reply.status == 200 else 0

    def forget(self) -> None:
        """Ask to forget a device."""
        with self.client() as client:
            requests.ask(client, self.settings, [OTHER])

    def queue_job(self) -> None:
        """Queue a job."""
        job_queue.enqueue(self.settings, "tidy_exports", id="by-hand")

    def unfinished(self) -> int:
        """How many jobs and tombstones wait."""
        with self.client() as client:
            left = records.read(client, range(self.settings.partitions))
            return len(left) + len(job_queue.read(client, 100))

    def client(self) -> contextlib.AbstractContextManager[redis.Redis]:
        """A client as the roles have it."""
        return contextlib.closing(redis_client.connect(self.settings))


@pytest.fixture
def site(run: Run, own_server: Callable[..., Server], tmp_path: Path) -> Iterator[Site]:
    broker = Mosquitto(tmp_path / "broker")
    running = Site(run, own_server(**FILES), broker, tmp_path)
    wait_until(lambda: without(running.responses(), 200, 202) == {}, "every path to work")
    yield running
    broker.kill()


def without(responses: dict[str, Reply], *statuses: int) -> dict[str, int]:
    """The responses that have another status."""
    return {name: reply.status for name, reply in responses.items() if reply.status not in statuses}


def assert_retried_later(responses: dict[str, Reply]) -> None:
    """Each 503 names a code and a time, except those of probes, which have reasons."""
    for name, reply in responses.items():
        if reply.status != 503:
            continue
        if name.startswith("ready"):
            assert reply.json["reasons"], name
            continue
        assert int(reply.headers["retry-after"]) >= 1, name
        assert reply.code == "unavailable", (name, reply.json)


def assert_nothing_else_is_accepted(site: Site) -> None:
    """What is asked for without HTTP."""
    for ask in (site.forget, site.queue_job):
        with pytest.raises(Unavailable):
            ask()


def assert_nothing_is_lost(site: Site, since_s: float) -> None:
    """Wait until every path works, and compare what is applied with what was accepted."""
    recovered_s = site.wait_until_recovered(since_s)
    wait_until(lambda: site.count(DEVICE) == site.accepted, "every reading, once", RECOVERED_S)
    wait_until(lambda: site.count(FROM_BROKER) == site.published, "every message", RECOVERED_S)
    recovered_s["applied"] = round(time.monotonic() - since_s, 2)
    site.queue_job()
    site.forget()
    wait_until(lambda: not site.unfinished(), "the jobs to run")
    recovered_s["jobs"] = round(time.monotonic() - since_s, 2)
    print(recovered_s)  # noqa: T201 - figures


@pytest.mark.slow
def test_each_path_responds_and_nothing_is_lost(site: Site):
    """In one test, since the site takes seconds to start."""
    with contextlib.closing(Ear(site.api, f"?device={DEVICE}")) as ear:
        become_a_replica(site)
        assert_live(site, ear)
        load_a_file(site)
        assert_live(site, ear)


def become_a_replica(site: Site) -> None:
    """Make the server a replica, compare what each path responds, and make it the master again."""
    site.publish()
    assert site.record().status == 200  # its commit may be rejected
    site.server.client.replicaof("127.0.0.1", "1")
    site.publish()
    responses = site.responses()
    assert_nothing_else_is_accepted(site)
    writes = {name for name in responses if name.startswith("record")}
    writes |= {"export", "ready to record"}
    assert without(responses, 200) == dict.fromkeys(writes, 503)
    assert_retried_later(responses)
    site.server.client.replicaof("NO", "ONE")
    assert_nothing_is_lost(site, time.monotonic())


def load_a_file(site: Site) -> None:
    """Restart the server on a file that takes long to load, and compare likewise."""
    server = site.server
    server.client.mset({f"filler-{number}": "x" * 100 for number in range(FILLERS)})
    server.client.bgrewriteaof()
    wait_until(lambda: not is_rewriting(server.client), "one file to load")
    server.kill()
    server.start(until_ready=False)
    wait_until(lambda: is_loading(server.client), "the server to load")
    site.publish()
    responses = site.responses()
    assert_nothing_else_is_accepted(site)
    assert is_loading(server.client)
    assert without(responses, 503) == {"metrics": 200, "alive": 200}
    assert_retried_later(responses)
    server.client.config_set("key-load-delay", "0")
    wait_until(lambda: not is_loading(server.client), "the server to have loaded")
    assert_nothing_is_lost(site, time.monotonic())


def assert_live(site: Site, ear: Ear) -> None:
    """A listener from before gets what is recorded now."""
    heard = len(ear.events)
    assert site.record().status == 200
    wait_until(lambda: len(ear.events) > heard, "a live update")
