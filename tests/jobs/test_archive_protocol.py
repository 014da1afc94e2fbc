"""The history against a model that reads the stream itself, whatever happens in between.

The model knows each entry, which readings of it the aggregators have applied, and whether a job
that committed could see it. Entries are decided by hand here; test_archive_pipeline.py uses a
real aggregator.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import redis
import sqlalchemy
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from support import folding
from support.histories import Value, assert_history, values_of
from support.processes import Server

from jobs import partition_stream
from jobs.archive import Archive
from jobs.partition_stream import PartitionStream
from tributary import failpoints
from tributary.history import reads, schema
from tributary.history.database import Database
from tributary.history.position import Position
from tributary.history.store import positions
from tributary.model.frame import Block, pack
from tributary.settings import Settings
from tributary.store import keys, redis_client, scripts

STREAM, META, BURIED = keys.readings(0), keys.meta(0), keys.buried(0)
NOW_MS = 1_795_000_000_000
POINTS = ("after_archive_read", "before_archive_commit", "after_archive_commit")


class Killed(Exception):
    """The job ends here."""


class Appended(NamedTuple):
    """An entry that append wrote."""

    id: bytes
    number: int
    readings: int
    packed: bytes


class World:
    """One partition, what the model knows about it, and its history."""

    def __init__(self, client: redis.Redis, reader: redis.Redis, db: Database) -> None:
        client.flushall()
        self.reader = reader
        with db.writing() as connection:
            for table in schema.metadata.sorted_tables:
                connection.execute(sqlalchemy.delete(table))
        self.client, self.db = client, db
        self.appended: list[Appended] = []
        self.applied: dict[bytes, int | None] = {}  # decided entries: readings applied; None: all
        self.counted: dict[bytes, list[Value]] = {}  # by entry that a committed job has seen
        self.gap_entries = self.gap_readings = 0
        self.run_id = "run-0"

    def archive(self) -> Archive:
        return Archive(self.db, PartitionStream(self.reader, 0), 0)

    # What may happen, with a number that chooses the details.

    def append(self, choice: int) -> None:
        """An entry of some readings, also late ones of any age."""
        readings = choice % 3 + 1
        late_ms = (0, 70_000, 4_000_000, 90_000_000, NOW_MS - 5)[choice % 5]
        blocks = [
            Block(f"d{(choice + n) % 2}", NOW_MS - late_ms + 20_000 * n, {"m": float(choice + n)})
            for n in range(readings)
        ]
        number, _ = folding.append_frame(self.client, 0, pack(blocks), readings)
        id_ = self.client.xrevrange(STREAM, count=1)[0][0]
        self.appended.append(Appended(id_, number, readings, pack(blocks)))

    def append_foreign(self, choice: int) -> None:
        """An entry that somebody else wrote, or one of append that cannot be decoded."""
        if choice % 2:
            self.client.xadd(STREAM, {"hello": choice})
        else:
            folding.append_frame(self.client, 0, b"\xc1", 1)
            id_ = self.client.xrevrange(STREAM, count=1)[0][0]
            self.appended.append(Appended(id_, self._entries, 1, b"\x90"))

    def apply(self, choice: int) -> None:
        """Decide some of the next entries that are in the stream."""
        hwm = (self.client.hget(META, "hwm") or b"0-0").decode()
        for id_, fields in self.client.xrange(STREAM, f"({hwm}", "+", choice % 7 + 1):
            self.client.hset(META, "hwm", id_)
            if b"e" in fields:
                self.client.hset(META, mapping={"done_entries": fields[b"e"], "done": fields[b"n"]})
                self.applied[id_] = None

    def bury(self, choice: int) -> None:
        """Decide the next entry: none or only some of its readings are applied."""
        hwm = (self.client.hget(META, "hwm") or b"0-0").decode()
        found = self.client.xrange(STREAM, f"({hwm}", "+", 1)
        if not found or b"e" not in found[0][1] or found[0][1][b"r"] == b"\xc1":
            return
        (id_, fields) = found[0]
        readings = next(each.readings for each in self.appended if each.id == id_)
        self._bury(id_, choice % readings)
        mapping = {"hwm": id_, "done_entries": fields[b"e"], "done": fields[b"n"]}
        self.client.hset(META, mapping=mapping)

    def _bury(self, id_: bytes, applied: int) -> None:
        self.applied[id_] = applied
        self.client.zadd(BURIED, {f"{id_.decode()} {applied}": int(id_.split(b"-")[0])})

    def begin(self, choice: int) -> None:
        """The next entry is applied in slices, and those behind it are applied before; or end it."""
        progress = self.client.hget(META, "progress")
        if progress:
            id_ = progress.split()[0]
            readings = next(each.readings for each in self.appended if each.id == id_)
            if choice % 2:
                self._bury(id_, choice % readings)
            self.client.hset(META, "progress", "")
            return
        hwm = (self.client.hget(META, "hwm") or b"0-0").decode()
        for id_, fields in self.client.xrange(STREAM, f"({hwm}", "+", 1):
            if fields.get(b"r", b"\xc1") != b"\xc1":
                self.apply(0)
                self.client.hset(META, "progress", f"{id_.decode()} 0")

    def trim(self, choice: int) -> None:
        """The oldest entries are dropped, or all of them; not the one that is begun."""
        kept = 0 if choice % 8 == 0 else max(0, self.client.xlen(STREAM) - choice % 8)
        progress = self.client.hget(META, "progress")
        if progress:
            begun = progress.split()[0]
            kept = max(kept, len(self.client.xrange(STREAM, begun, "+")))
        self.client.xtrim(STREAM, maxlen=kept, approximate=False)
        self._note_lost()

    def delete(self, choice: int) -> None:
        """Somebody deletes the stream; the aggregators have done everything before."""
        if not self.client.hget(META, "progress"):
            newest = self.client.xrevrange(STREAM, count=1)
            self.client.delete(STREAM)
            if newest:  # as the aggregators do, since ids must not be issued again
                self.client.xgroup_create(STREAM, keys.GROUP, mkstream=True)
                self.client.execute_command("XSETID", STREAM, newest[0][0])
            self._note_lost()

    def restart(self, choice: int) -> None:
        """The server restarts without its last entries, which may be in the history."""
        kept = self.client.xlen(STREAM) - choice % 4
        if choice % 4 == 0 or kept < 1 or self.client.hget(META, "progress"):
            return None
        for id_, _ in self.client.xrevrange(STREAM, count=choice % 4):
            self.client.xdel(STREAM, id_)
            self.appended = [each for each in self.appended if each.id != id_]
            self.applied.pop(id_, None)
        numbered = [f for _, f in self.client.xrange(STREAM) if b"e" in f]
        if not numbered:
            return self._forget_numbers()
        last = numbered[-1]
        done = min(int(self.client.hget(META, "done_entries") or 0), int(last[b"e"]))
        if done == int(last[b"e"]):
            hwm = [id_ for id_, fields in self.client.xrange(STREAM) if fields == last][-1]
            mapping = {"done_entries": last[b"e"], "done": last[b"n"], "hwm": hwm}
            self.client.hset(META, mapping=mapping)
        self.client.hset(META, mapping={"entries": last[b"e"], "accepted": last[b"n"]})
        return self._start()

    def _forget_numbers(self) -> None:
        """Nothing with a number is left: the server came back empty."""
        self.client.flushall()
        self._start()

    def _start(self) -> None:
        self.run_id = f"run-{uuid.uuid4()}"
        command = scripts.report_tail(0, run=self.run_id, acknowledged_by="", entries=0, readings=0)
        scripts.run(self.client, command)

    def job(self, choice: int) -> None:
        """A job, killed at a point or not."""
        self._run(lambda: None, POINTS[choice % 3] if choice % 4 == 0 else "")

    def two_jobs(self, choice: int) -> None:
        """A job whose piece another one commits first, after more has been decided."""

        def meanwhile() -> None:
            self.append(choice)
            self.apply(choice)
            self._run(lambda: None, "")

        self._run(meanwhile, "")

    def _run(self, meanwhile: Callable[[], None], kill_at: str) -> None:
        seen = self._visible()
        pending = [meanwhile]

        def reach(point: str) -> None:
            if point == "after_archive_read" and pending:
                pending.pop()()
            if point == kill_at:
                raise Killed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(failpoints, "reach", reach)
            try:
                job = self.archive()
                while job.step():
                    seen = self._visible()
            except Killed:
                if kill_at != "after_archive_commit":
                    return
        self.counted.update(seen)

    # What the model knows.

    def _visible(self) -> dict[bytes, list[Value]]:
        """The values of the decided entries in the stream, by entry."""
        begun = (self.client.hget(META, "progress") or b"").partition(b" ")[0]
        found: dict[bytes, list[Value]] = {}
        for id_, fields in self.client.xrange(STREAM):
            if begun and _parts(id_) >= _parts(begun):
                break
            if id_ in self.applied and fields[b"r"] != b"\xc1":
                found[id_] = list(values_of(fields[b"r"], self.applied[id_]))
        return found

    @property
    def _entries(self) -> int:
        return int(self.client.hget(META, "entries") or 0)

    def _note_lost(self) -> None:
        """Entries that were neither in the history nor in the stream are lost now."""
        position = positions(self.db).get(0, Position())
        there = {id_ for id_, _ in self.client.xrange(STREAM)}
        for each in self.appended:
            if each.id not in there and _parts(each.id) > _parts(position.entry_id.encode()):
                self.gap_entries += 1
                self.gap_readings += each.readings
        self.appended = [each for each in self.appended if each.id in there]

    def finish(self) -> None:
        """Decide everything, as the aggregators do in the end."""
        self.client.hset(META, "progress", "")
        self.apply(6)
        while self.client.xrange(STREAM, f"({self.client.hget(META, 'hwm').decode()}", "+", 1):
            self.apply(6)
        counts: Any = self.client.hmget(META, "entries", "accepted")
        self.client.hset(META, mapping={"done_entries": counts[0] or 0, "done": counts[1] or 0})


def _parts(id_: bytes) -> tuple[int, int]:
    ms, _, number = id_.partition(b"-")
    return int(ms), int(number)


ORDINARY = ("append", "append", "append", "append_foreign", "apply", "apply", "bury", "begin")
ACTIONS = {
    "losses": (*ORDINARY, "job", "job", "two_jobs", "trim", "delete"),
    "restarts": (*ORDINARY, "job", "job", "restart"),
}


@pytest.mark.parametrize(("kind", "page"), [*itertools.product(ACTIONS, [1, 256])])
def test_the_history_is_what_jobs_could_see_and_gaps_are_the_rest(
    server: Server, db: Database, monkeypatch: pytest.MonkeyPatch, kind: str, page: int
):
    client, reader = server.client, redis_client.connect(Settings(redis_url=server.url))
    monkeypatch.setattr(partition_stream, "PAGE_ENTRIES", page)
    monkeypatch.setattr(partition_stream, "PIECE_ENTRIES", 2 * page)

    steps = st.tuples(st.sampled_from(ACTIONS[kind]), st.integers(0, 1000))

    @given(st.lists(steps, min_size=10, max_size=40))
    @hypothesis_settings(max_examples=hypothesis_settings.default.max_examples // 2)
    def check(actions: list[tuple[str, int]]) -> None:
        world = World(client, reader, db)
        for name, choice in actions:
            getattr(world, name)(choice)
        if world.client.hget(META, "hwm") or world._entries:
            world.client.hsetnx(META, "hwm", "0-0")
            world.finish()
            world.job(1)
        assert_history(db, [value for values in world.counted.values() for value in values])
        if kind == "losses":
            lost = (world.gap_entries, world.gap_readings)
            assert reads.count_gaps(db, 0)[1:] == lost
        world.client.flushall()

    check()
    reader.close()
