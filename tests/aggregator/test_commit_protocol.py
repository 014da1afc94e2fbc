"""Exactly once, against a simple model: crashes, zombies, lost replies, concurrent owners.

Three owners always believe that the same partition is theirs. They use the real tenure, the
real scripts and a real server; only the fold is a count per reading and a total, so that a
reading counted twice and an update overwritten show themselves. One of the two devices is
forgotten now and then.
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
from support import forgetting
from support.folding import append_frame
from support.processes import Server

from aggregator import tenure as tenure_module
from aggregator.account import Counts, Sorted
from aggregator.changes import Changes, counts_only
from aggregator.decode import Columns, Entry
from aggregator.tenure import Tenure
from aggregator.work import Work
from jobs.forget import streams
from tributary.errors import Superseded, TributaryError
from tributary.model.frame import Block, pack, unpack
from tributary.operate.forgetting import records
from tributary.store import keys
from tributary.store.pipe import Pipe
from tributary.store.tombstone import APPLIED, parts_of

OWNERS = 3
STEPS_ASIDE, ERASES = 0.7, 0.7
KEPT, GONE = "kept", "gone"
T = TypeVar("T")


def fields_of(columns: Columns) -> list[str]:
    """A field of `state` for each reading."""
    named = zip(columns.series, columns.values.tolist(), strict=True)
    return [keys.series(device, f"r{value:.0f}") for (device, _), value in named]


def device_of(field: str) -> str:
    return field.partition("|")[0]


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
        if sorted_.forget is not None:  # as `Table.forget`
            self.cache = Counter({f: n for f, n in self.cache.items() if device_of(f) == KEPT})
            return counts_only(sorted_)
        fields = [] if sorted_.columns is None else fields_of(sorted_.columns)
        devices = set(map(device_of, fields))
        wanted = [*fields, *(keys.series(device, "total") for device in devices)]
        unseen = [field for field in wanted if field not in self.cache]
        with contextlib.suppress(TributaryError):
            ((*loaded,),) = await self.tenure.load([(keys.state(0), unseen)])
            for field, count in zip(unseen, loaded, strict=True):
                self.cache[field] = int(count or 0)
            self.cache.update(fields)
            self.cache.update(keys.series(device_of(field), "total") for field in fields)
            state = [part for f in wanted for part in (f, str(self.cache[f]))]
            # A document that cannot be parsed, so that forget searches all of `state`.
            latest = [part for device in devices for part in (device, "{")]
            return counts_only(sorted_)._replace(state=state, latest=latest)
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

    def __init__(self, server: Server, seed: int, *, forgets: bool) -> None:
        self.weights = (40, 40, 8, 4, 8, 8 if forgets else 0)
        self.random = random.Random(seed)
        self.url, self.client = server.url, server.client
        self.client.flushall()
        self.loop = asyncio.new_event_loop()
        self.owners = [Owner(self.url, f"w{n}", self.random) for n in range(OWNERS)]
        self.devices: list[str] = []  # of each reading
        self.removed: set[str] = set()
        self.tombstones: dict[bytes, int] = {}  # readings appended before each

    @property
    def appended(self) -> int:
        return len(self.devices)

    def run(self, steps: int) -> None:
        """Run some steps, then let one owner drain the stream, and compare."""
        kinds = (self.append, self.commit, self.hold, self.crash, self.disaster, self.forget)
        for kind in self.random.choices(kinds, self.weights, k=steps):
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
            blocks = []
            for _ in range(readings):
                self.devices.append(self.random.choice((KEPT, GONE)))
                blocks.append(Block(self.devices[-1], 1, {"m": float(self.appended - 1)}))
            append_frame(self.client, 0, pack(blocks), readings)
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

    def forget(self) -> None:
        id_ = forgetting.append(self.client, 0, (GONE,))
        self.tombstones[id_] = self.appended
        applied = [parts_of(record.entry_id) for record in records.read(self.client, (0,))
                   if record.stage == APPLIED]  # fmt: skip
        if applied and self.random.random() < ERASES:
            streams.erase(self.client, 0, {GONE: max(applied)})

    def compare(self) -> None:
        """Every reading is counted once, was removed unread, or was forgotten."""
        meta = self.client.hgetall(keys.meta(0))
        counts = Counts.parse(meta)
        counted = {k.decode(): int(v) for k, v in self.client.hgetall(keys.state(0)).items()}
        for device in (KEPT, GONE):
            total = counted.pop(keys.series(device, "total"), 0)
            mine = [name for name in counted if device_of(name) == device]
            assert total == len(mine), f"an update of {device} was lost"
        assert set(counted.values()) <= {1}, f"counted twice: {counted}"
        records = self.client.hgetall(keys.forgets(0))
        applied = [self.tombstones[i] for i, text in records.items() if text.startswith(b"applied")]
        assert len(applied) == int(meta.get(b"forgets", 0))
        forgotten = {f"{GONE}|r{n}" for n in range(max(applied, default=0))} & self._all()
        assert not counted.keys() & forgotten
        missing = self._all() - counted.keys() - forgotten
        assert missing <= self.removed, f"readable, but never counted: {missing - self.removed}"
        assert 0 <= counts.lost - len(missing) <= len(forgotten & self.removed)
        assert counts.lost + counts.applied == self.appended
        assert counts.done == int(meta.get(b"accepted", 0)) == self.appended
        assert (counts.begun, counts.begun_entry) == (0, 0)

    def _all(self) -> set[str]:
        return {keys.series(device, f"r{n}") for n, device in enumerate(self.devices)}

    def _readable(self) -> set[str]:
        """The readings that are in the stream."""
        entries = [fields for _, fields in self.client.xrange(keys.readings(0))]
        blocks = [unpack(fields[b"r"]) for fields in entries if b"r" in fields]
        return {f"{d}|r{metrics['m']:.0f}" for frame in blocks for d, _, metrics in frame}

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
        names = ("entries", "done_entries", "begun")
        entries, done, begun = self.client.hmget(keys.meta(0), *names)
        return int(done or 0) < int(entries or 0) or int(begun or 0) > 0


@pytest.mark.parametrize("forgets", [False, True], ids=["", "forgets"])
@pytest.mark.parametrize("seeds", [range(30), range(30, 60)], ids=str)
def test_every_history_counts_every_reading_once(
    server: Server, monkeypatch: pytest.MonkeyPatch, seeds: range, *, forgets: bool
):
    monkeypatch.setattr(tenure_module, "BLOCK_MS", 20)
    for seed in seeds:
        try:
            History(server, seed, forgets=forgets).run(60)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
