"""Exactly once, against a simple model: crashes, zombies, lost replies, concurrent owners.

Three owners always believe that the same partition is theirs. They use the real tenure, the
real scripts and a real server; only the fold is a count per reading and a total, so that a
reading counted twice and an update overwritten show themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections import Counter
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
import redis
from support.folding import append_frame
from support.processes import Server

from aggregator import tenure as tenure_module
from aggregator.account import Counts, Sorted
from aggregator.changes import Changes, counts_only
from aggregator.decode import Entry
from aggregator.tenure import Tenure
from aggregator.work import Work
from tributary.errors import Superseded, TributaryError
from tributary.model.frame import Block, pack, unpack
from tributary.store import keys
from tributary.store.pipe import Pipe

OWNERS = 3
STEPS_ASIDE = 0.7
T = TypeVar("T")


class Owner:
    """One worker: its tenure, the batch it holds, and its cache."""

    def __init__(self, url: str, worker: str, chance: random.Random) -> None:
        self._random = chance
        self._url = url
        self._worker = worker
        self.held: list[Work] = []
        self.folded: Work | None = None
        self.cache: Counter[str] = Counter()
        self.tenure: Tenure | None = None

    async def begin(self) -> None:
        pipe = await Pipe.open(self._url)
        self.tenure = Tenure(0, pipe, self._worker, self._arrive, 4)
        await self.tenure.begin()

    def end(self) -> None:
        if self.tenure is not None:
            self.tenure.end(Superseded("the test ends it"))
        self.tenure, self.held, self.folded, self.cache = None, [], None, Counter()

    async def fold(self) -> Changes | None:
        """Count the readings of an entry or a slice, as a worker would."""
        sorted_ = self._taken()
        if sorted_ is None or self.tenure is None:
            return None
        values = [] if sorted_.columns is None else sorted_.columns.values.tolist()
        fields = [f"r{value:.0f}" for value in values]
        unseen = [field for field in (*fields, "total") if field not in self.cache]
        with contextlib.suppress(TributaryError):
            ((*loaded,),) = await self.tenure.load([(keys.state(0), unseen)])
            for field, count in zip(unseen, loaded, strict=True):
                self.cache[field] = int(count or 0)
            self.cache.update(fields)
            self.cache["total"] += len(fields)
            state = [part for f in (*fields, "total") for part in (f, str(self.cache[f]))]
            return counts_only(sorted_)._replace(state=state)
        return None

    def commit(self, changes: Changes) -> None:
        """Send what was folded last."""
        assert self.folded is not None
        aside = self.folded.commit(changes)
        self.held += [] if aside is None else [aside]

    def _taken(self) -> Sorted | None:
        """Entries, a slice of a large one, or one that steps aside."""
        self.held = [work for work in self.held if work.is_left]
        self._random.shuffle(self.held)
        for work in self.held:
            sorted_ = work.next(self._random.choice((1, 1_000_000)))
            if sorted_ is not None:
                self.folded = work
                is_aside = work.slices(2) > 0 and self._random.random() < STEPS_ASIDE
                return work.step_aside(sorted_) if is_aside else sorted_
        return None

    def _arrive(self, tenure: Tenure, entries: list[Entry]) -> None:
        self.held.append(Work(tenure, entries))


class History:
    """A random sequence of events that may happen to a partition."""

    def __init__(self, server: Server, seed: int) -> None:
        self.random = random.Random(seed)
        self.url, self.client = server.url, server.client
        self.client.flushall()
        self.loop = asyncio.new_event_loop()
        self.owners = [Owner(self.url, f"w{n}", self.random) for n in range(OWNERS)]
        self.appended = 0
        self.removed: set[str] = set()

    def run(self, steps: int) -> None:
        """Run some steps, then let one owner drain the stream, and compare."""
        kinds = (self.append, self.commit, self.hold, self.crash, self.disaster)
        for kind in self.random.choices(kinds, (40, 40, 8, 4, 8), k=steps):
            kind()
        for owner in self.owners:
            owner.end()
        self.wait(self._drain())
        self.loop.close()
        self.compare()

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 20))

    def append(self) -> None:
        """Append entries one by one; owners that wait for entries get one each."""
        for _ in range(self.random.randint(1, 3)):
            readings = self.random.randint(1, 4)
            blocks = [Block("d", 1, {"m": float(self.appended + n)}) for n in range(readings)]
            append_frame(self.client, 0, pack(blocks), readings)
            self.appended += readings
        self.wait(asyncio.sleep(0.0005))

    def hold(self) -> None:
        """An owner reads a batch; it may commit it much later, like a zombie."""
        self.wait(self._read(self.random.choice(self.owners)))

    def commit(self) -> None:
        owner = self.random.choice(self.owners)
        self.wait(self._read(owner))
        changes = self.wait(owner.fold())
        if changes is None or owner.tenure is None or owner.tenure.is_over:
            return
        owner.commit(changes)
        fate = self.random.choices(("replied", "swallowed", "unsent"), (90, 5, 5))[0]
        if fate == "unsent":  # the process crashes before the bytes are written
            owner.end()
        self.wait(asyncio.sleep(0.001))
        if fate == "swallowed":  # executed, but the worker gets no reply
            owner.end()

    def crash(self) -> None:
        number = self.random.randrange(OWNERS)
        self.owners[number].end()
        self.owners[number] = Owner(self.url, secrets.token_hex(4), self.random)

    def disaster(self) -> None:
        """What operators and full servers may do to a stream."""
        before = self._readable()
        kind = self.random.choice(("group", "scripts", "stranger", "trim", "trim all", "stream"))
        if kind == "group" and self.client.exists(keys.readings(0)):
            self.client.xgroup_destroy(keys.readings(0), keys.GROUP)
        elif kind == "scripts":
            self.client.script_flush()
        elif kind == "stream":
            self.client.delete(keys.readings(0))
        elif kind == "stranger":  # another consumer of the group reads and crashes
            with contextlib.suppress(redis.ResponseError):
                self.client.xreadgroup(keys.GROUP, "stranger", {keys.readings(0): ">"}, 2)
        else:
            keep = 2 if kind == "trim" else 0
            self.client.xtrim(keys.readings(0), maxlen=keep, approximate=False)
        self.removed |= before - self._readable()

    def compare(self) -> None:
        """Every reading is counted once, or was removed unread and is counted as lost."""
        meta = self.client.hgetall(keys.meta(0))
        counts = Counts.parse(meta)
        counted = {k.decode(): int(v) for k, v in self.client.hgetall(keys.state(0)).items()}
        total = counted.pop("total", 0)
        assert set(counted.values()) <= {1}, f"counted twice: {counted}"
        assert counts.applied == total == len(counted), "an update was lost"
        missing = {f"r{number}" for number in range(self.appended)} - counted.keys()
        assert missing <= self.removed, f"readable, but never counted: {missing - self.removed}"
        assert counts.lost == len(missing), "lost readings are not counted exactly"
        assert counts.done == int(meta.get(b"accepted", 0)) == self.appended
        assert (counts.begun, counts.begun_entry) == (0, 0)

    def _readable(self) -> set[str]:
        """The readings that are in the stream."""
        blocks = [unpack(fields[b"r"]) for _, fields in self.client.xrange(keys.readings(0))]
        return {f"r{metrics['m']:.0f}" for frame in blocks for _, _, metrics in frame}

    async def _read(self, owner: Owner) -> None:
        if owner.held:
            return
        if owner.tenure is None or owner.tenure.is_over:
            owner.end()
            await owner.begin()
        for _ in range(10):
            await asyncio.sleep(0.0005)
            if owner.held:
                return

    async def _drain(self) -> None:
        owner = Owner(self.url, "last", self.random)
        while self._is_behind():
            if owner.tenure is None or owner.tenure.is_over:
                owner.end()
                await owner.begin()
            await asyncio.sleep(0.002)
            changes = await owner.fold()
            if changes is not None and owner.tenure is not None:
                owner.commit(changes)
        owner.end()

    def _is_behind(self) -> bool:
        done, begun = self.client.hmget(keys.meta(0), "done", "begun")
        return int(done or 0) < self.appended or int(begun or 0) > 0


@pytest.mark.parametrize("seeds", [range(30), range(30, 60)], ids=str)
def test_every_history_counts_every_reading_once(
    server: Server, monkeypatch: pytest.MonkeyPatch, seeds: range
):
    monkeypatch.setattr(tenure_module, "BLOCK_MS", 20)
    for seed in seeds:
        try:
            History(server, seed).run(60)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
