"""One random history of some aggregators on a simulated clock and network.

The aggregators are the real ones, with their heartbeats, and so is the server. They are killed,
suspended and cut off, and scripts and the consumer group are dropped, while readings are appended
and a device is forgotten. At the end, the audit recomputes every aggregate from the stream.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Iterator
from typing import NamedTuple

import redis
from support import folding
from support.processes import Server

from aggregator.worker import Worker
from faults.simulated_loop import BEGIN_S, simulated
from faults.simulated_network import Network, SimulatedProcess, process
from tributary.errors import TributaryError
from tributary.model.frame import Block, pack
from tributary.operate.audit.auditor import Auditor
from tributary.settings import Settings
from tributary.store import keys, redis_client, scripts
from tributary.store.tombstone import Tombstone

PARTITIONS = 2
DEVICES = tuple(f"d{number}" for number in range(6))
METRICS = ("engine_temperature", "speed")
STEPS = 10
_DRAINED_S, _ENDED_S = 300.0, 10.0  # of simulated time


class Outcome(NamedTuple):
    """What a history did."""

    seed: int
    readings: int
    kills: int
    tombstones: int
    seconds: float  # of simulated time
    commands: int
    trace: str
    violations: list[str]


class _Member(SimulatedProcess):
    """An aggregator."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._stop = asyncio.Event()
        context = contextvars.copy_context()
        context.run(process.set, self)
        loop = asyncio.get_running_loop()
        self.running = loop.create_task(self._run(), context=context)

    async def _run(self) -> None:
        await Worker(self._settings).run(self._stop)

    async def stop(self) -> None:
        """Stop it in order."""
        self._stop.set()
        await asyncio.wait([self.running])
        self.running.result()


class History:
    """The steps of one seed."""

    def __init__(
        self, client: redis.Redis, settings: Settings, network: Network, seed: int
    ) -> None:
        self._client, self._settings, self._network = client, settings, network
        self._random = random.Random(f"steps {seed}")
        self._members: list[_Member] = []
        self.readings = self.kills = self.tombstones = 0

    async def run(self, steps: int) -> None:
        """Take random steps; then let the survivors apply everything."""
        kinds = (self.append, self.kill, self.start, self.suspend, self.interrupt, self.forget,
                 self.drop_scripts, self.drop_group)  # fmt: skip
        weights = (60, 6, 8, 6, 6, 4, 4, 2)
        self.start()
        for kind in self._random.choices(kinds, weights, k=steps):
            kind()
            await asyncio.sleep(self._random.choice((0.0, 0.0003, 0.002, 0.02, 0.3, 1.5)))
        self.start()
        async with asyncio.timeout(_DRAINED_S):
            while folding.behind(self._client, self._settings):
                self._check()
                await asyncio.sleep(0.1)
        for member in self._members:
            await member.stop()

    async def end(self) -> None:
        """Kill what still runs."""
        for member in self._members:
            member.kill()
        await asyncio.sleep(_ENDED_S)

    def append(self) -> None:
        """Append a frame of some readings to each of some partitions."""
        for _ in range(self._random.randint(1, 4)):
            device = self._random.choice(DEVICES)
            now_ms = int((BEGIN_S + self._network.loop.now_s) * 1000)
            blocks = [
                Block(device, now_ms - self._random.choice((0, 0, 0, 40, 7_000, 400_000)) + number,
                      {m: float(self._random.randint(-50, 150)) for m in self._metrics()})
                for number in range(self._random.randint(1, 5))
            ]  # fmt: skip
            partition = keys.partition_of(device, PARTITIONS)
            frame = partition, len(blocks), pack(blocks)
            command = scripts.append([frame], max_entries="1000000", unread_max="0")
            self._network.call(*scripts.with_source(command))
            self.readings += len(blocks)

    def kill(self) -> None:
        """Kill an aggregator."""
        if self._members:
            self._members.pop(self._random.randrange(len(self._members))).kill()
            self.kills += 1

    def start(self) -> None:
        """Start an aggregator, up to three."""
        if len(self._members) < 3:
            self._members.append(_Member(self._settings))

    def suspend(self) -> None:
        """Suspend an aggregator: what it sends and receives is late, like that of a zombie."""
        for member in self._one():
            member.suspended_until_s = self._network.loop.now_s + self._random.choice((0.5, 2, 8))

    def interrupt(self) -> None:
        """Lose a connection of an aggregator, with what is under way."""
        for member in self._one():
            if member.connections:
                self._random.choice(member.connections).interrupt()

    def forget(self) -> None:
        """Forget a device."""
        device = self._random.choice(DEVICES[:2])
        partition = keys.partition_of(device, PARTITIONS)
        text = Tombstone("test", (device,), "").packed()
        limits = {"max_entries": "1000000", "unread_max": "0", "records_max": 1000}
        command = scripts.forget(partition, **limits, text=text)  # type: ignore[arg-type]
        self._network.call(*scripts.with_source(command))
        self.tombstones += 1

    def drop_scripts(self) -> None:
        """Make the server forget the scripts."""
        self._network.call("SCRIPT", "FLUSH")

    def drop_group(self) -> None:
        """Destroy a consumer group."""
        partition = self._random.randrange(PARTITIONS)
        if self._client.exists(keys.readings(partition)):
            self._network.call("XGROUP", "DESTROY", keys.readings(partition), keys.GROUP)

    def violations(self) -> Iterator[str]:
        """What does not follow from the readings."""
        auditor = Auditor(self._client, self._settings)
        for partition in range(PARTITIONS):
            yield from map(str, auditor.audit(partition).differences)
            names = ("accepted", "applied", "lost", "dead")
            counts = [int(n or 0) for n in self._client.hmget(keys.meta(partition), names)]
            if counts[0] != counts[1] or any(counts[2:]):
                yield f"partition {partition}: {dict(zip(names, counts, strict=True))}"

    def _metrics(self) -> list[str]:
        return self._random.sample(METRICS, self._random.randint(1, len(METRICS)))

    def _one(self) -> list[_Member]:
        return self._random.sample(self._members, min(1, len(self._members)))

    def _check(self) -> None:
        for member in self._members:
            if member.running.done():
                member.running.result()


class Simulator:
    """Runs histories on one server, each on empty data."""

    def __init__(self, server: Server) -> None:
        """Prepare the server, and keep what an empty one has."""
        self._client = server.client
        self._path = server.url.removeprefix("unix://")
        # With so little memory series are evicted all the time.
        self._settings = Settings(
            redis_url=server.url,
            partitions=PARTITIONS,
            heartbeat_ms=1_000,
            windows="1m/5s,24h/1h",
            series_cached_max=4,
            durability="memory",
        )
        self._client.flushall()
        with simulated(0):
            redis_client.prepare(self._client, self._settings)
        self._empty = {key: self._client.dump(key) or b"" for key in self._client.scan_iter()}

    def run(self, seed: int, steps: int = STEPS) -> Outcome:
        """Run the history of a seed."""
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.flushall()
            for key, dumped in self._empty.items():
                pipeline.restore(key, 0, dumped)
            pipeline.execute()
        with simulated(seed) as loop:
            network = Network(loop, self._path, random.Random(f"network {seed}"))
            history = History(self._client, self._settings, network, seed)
            violations: list[str] = []
            try:
                loop.run_until_complete(history.run(steps))
                violations += history.violations()
            except (TributaryError, TimeoutError) as error:
                violations.append(f"{type(error).__name__}: {error}")
            finally:
                loop.run_until_complete(history.end())
                network.close()
            counts = history.readings, history.kills, history.tombstones
            return Outcome(seed, *counts, loop.now_s, network.commands, network.trace, violations)
