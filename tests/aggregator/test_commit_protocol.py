"""Exactly once, against a simple model: crashes, zombies, lost replies, concurrent owners.

Three owners always believe that the same partition is theirs, beside one of a former release.
They use the real tenure, the real scripts and a real server; only the fold is a count per reading
and a total, so that a reading counted twice and an update overwritten show themselves. One of the
two devices is forgotten now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections.abc import Coroutine
from typing import Any, NamedTuple, TypeVar

import hypothesis
import pytest
import redis
from support import forgetting
from support.folding import append_frame
from support.owners import GONE, KEPT, FormerOwner, Owner, device_of
from support.processes import Server

from aggregator import numbering
from aggregator import tenure as tenure_module
from aggregator.account import Counts
from aggregator.decode import Entry
from jobs.forget import streams
from tributary.model.frame import Block, pack, unpack
from tributary.operate.forgetting import records
from tributary.store import keys
from tributary.store.tombstone import APPLIED, parts_of

OWNERS = 3
ERASES = 0.7
UNCACHED = 0.03  # of commits: Redis has dropped their script
BUSY = "for i = 1, 100000 do end"  # about a millisecond
PARTS = 4
DISASTERS = ("group", "scripts", "stranger", "position", "trim", "trim all", "stream")
T = TypeVar("T")


class Replica(NamedTuple):
    """What a replica had at some moment; a failover makes it the truth."""

    keys: dict[bytes, bytes]
    readings: int  # appended until then
    removed: set[str]


class History:
    """A random sequence of events that may happen to a partition."""

    def __init__(self, server: Server, seed: int, *, forgets: bool) -> None:
        self.weights = (40, 40, 8, 4, 8, 8 if forgets else 0, 8, 3)
        self.random = random.Random(seed)
        self.url, self.client = server.url, server.client
        self.client.flushall()
        self.loop = asyncio.new_event_loop()
        self.owners = [Owner(self.url, f"w{n}", self.random) for n in range(OWNERS)]
        self.devices: list[str] = []  # of each reading
        self.former = FormerOwner(self.client, self.random)
        self.replica: Replica | None = None
        self.rolled_back: set[int] = set()  # numbers of readings that a failover has lost
        self.removed: set[str] = set()
        self.tombstones: dict[bytes, int] = {}  # readings appended before each
        self.busy: list[redis.Connection] = []  # whose replies are not read

    @property
    def appended(self) -> int:
        return len(self.devices) - len(self.rolled_back)

    def run(self, steps: int) -> None:
        """Run some steps, then let one owner drain the stream, and compare."""
        kinds = (
            self.append, self.commit, self.hold, self.crash, self.disaster, self.forget,
            self.upgrade, self.fail_over,
        )  # fmt: skip
        for kind in self.random.choices(kinds, self.weights, k=steps):
            kind()
        for owner in self.owners:
            owner.end()
        self.wait(self._drain())
        self.loop.close()
        for connection in self.busy:
            connection.disconnect()
            self.client.connection_pool.release(connection)
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
                blocks.append(Block(self.devices[-1], 1, {"m": float(len(self.devices) - 1)}))
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
        if self.random.random() < UNCACHED:
            self._forget_scripts_slowly()
        owner.commit(changes)
        fate = self.random.choices(("replied", "swallowed", "unsent"), (90, 5, 5))[0]
        if fate == "unsent":  # the process crashes before the bytes are written
            owner.end()
        self.wait(asyncio.sleep(0.001))
        if fate == "swallowed":  # executed, but the worker gets no reply
            owner.end()

    def _forget_scripts_slowly(self) -> None:
        """Flush the scripts; replies are late, so that an owner sends more before it learns it."""
        self.client.script_flush()
        connection = self.client.connection_pool.get_connection()
        connection.send_command("EVAL", BUSY, 0)
        self.busy.append(connection)

    def crash(self) -> None:
        number = self.random.randrange(OWNERS)
        self.owners[number].end()
        self.owners[number] = Owner(self.url, secrets.token_hex(4), self.random)

    def disaster(self) -> None:
        """What operators and full servers may do to a stream."""
        before = self._readable()
        kind = self.random.choice(DISASTERS)
        if kind == "group" and self.client.exists(keys.readings(0)):
            self.client.xgroup_destroy(keys.readings(0), keys.GROUP)
        elif kind == "scripts":
            self.client.script_flush()
        elif kind == "stream":
            self.client.delete(keys.readings(0))
        elif kind == "stranger":  # something else reads from the group and crashes
            with contextlib.suppress(redis.ResponseError):
                self.client.xreadgroup(keys.GROUP, "stranger", {keys.readings(0): ">"}, 2)
        elif kind == "position":
            with contextlib.suppress(redis.ResponseError):
                self.client.xgroup_setid(
                    keys.readings(0), keys.GROUP, self.random.choice(("0", "$"))
                )
        else:
            keep = 2 if kind == "trim" else 0
            self.client.xtrim(keys.readings(0), maxlen=keep, approximate=False)
        self.removed |= before - self._readable()

    def upgrade(self) -> None:
        """An aggregator of the former release takes some steps."""
        for _ in range(self.random.randint(1, 4)):
            self.former.step()

    def fail_over(self) -> None:
        """Replicate; or make the replica the truth, and let an owner begin there.

        Owners lose their connection, or keep it, as if the old master were promoted again.
        """
        if self.replica is None or self.random.random() < 0.5:
            dumps = {name: self.client.dump(name) for name in self.client.scan_iter()}
            self.replica = Replica(dumps, len(self.devices), set(self.removed))
            return
        self.client.flushall()
        for name, dump in self.replica.keys.items():
            self.client.restore(name, 0, dump)
        self.rolled_back |= set(range(self.replica.readings, len(self.devices)))
        self.removed = set(self.replica.removed)
        for owner in self.owners if self.random.random() < 0.5 else ():
            owner.end()
        first = self.random.choice(self.owners)
        first.end()
        self.wait(first.begin())

    def forget(self) -> None:
        id_ = forgetting.append(self.client, 0, (GONE,))
        self.tombstones[id_] = len(self.devices)
        applied = [parts_of(record.entry_id) for record in records.read(self.client, (0,))
                   if record.stage == APPLIED]  # fmt: skip
        if applied and self.random.random() < ERASES:
            streams.erase(self.client, 0, {GONE: max(applied)})

    def compare(self) -> None:
        """Every reading is counted once, was removed unread, or was forgotten."""
        meta = self.client.hgetall(keys.meta(0))
        counts = Counts.parse(meta)
        counted = {k.decode(): int(v) for k, v in self.client.hgetall(keys.rows(0)).items()}
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
        self._compare_log(int(meta.get(b"transitions", 0)), {*counted})
        missing = self._all() - counted.keys() - forgotten
        assert missing <= self.removed, f"readable, but never counted: {missing - self.removed}"
        assert 0 <= counts.lost - len(missing) <= len(forgotten & self.removed)
        assert counts.lost + counts.applied == self.appended
        assert counts.done == int(meta.get(b"accepted", 0)) == self.appended
        assert (counts.begun, counts.begun_entry) == (0, 0)

    def _compare_log(self, logged: int, counted: set[str]) -> None:
        """A transition per reading that is counted, each numbered once; none of a forgotten one."""
        log = self.client.zrange(keys.transitions(0), 0, -1, withscores=True)
        numbers = [int(number) for _, number in log]
        named = {member.decode().split('"')[-2] for member, _ in log}
        assert named <= counted
        kept = {name for name in counted if device_of(name) == KEPT}
        assert kept - named <= self.former.applied, "counted, but not in the log"
        if not self.tombstones:  # else some are deleted
            assert numbers == list(range(1, logged + 1)), "in the log twice"

    def _all(self) -> set[str]:
        numbered = enumerate(self.devices)
        return {keys.series(d, f"r{n}") for n, d in numbered if n not in self.rolled_back}

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


def _nothing_is_damaged(entry: Entry, place: tuple[int, int]) -> Entry:
    raise AssertionError(f"{entry} was taken as damaged; its numbers would be {place}")


@pytest.mark.timeout(0)  # each step has a timeout; the profile `long` takes an hour
@pytest.mark.parametrize("part", range(PARTS))
def test_every_history_counts_every_reading_once(
    server: Server, monkeypatch: pytest.MonkeyPatch, part: int
):
    monkeypatch.setattr(tenure_module, "BLOCK_MS", 20)
    monkeypatch.setattr(numbering, "_renumbered", _nothing_is_damaged)
    for seed in range(part, 2 * hypothesis.settings.default.max_examples, PARTS):
        try:
            History(server, seed, forgets=part % 2 == 1).run(60)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
