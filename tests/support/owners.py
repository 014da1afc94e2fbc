"""Owners of a partition for random histories: an aggregator without its fold, and a former one."""

from __future__ import annotations

import contextlib
import random
from collections import Counter

import redis

from aggregator.account import Counts, Sorted, sort_out
from aggregator.alerts.stored import NO_ALERTS
from aggregator.changes import Changes, counts_only
from aggregator.decode import Columns, Entry
from aggregator.owned_rows import OwnedRows
from aggregator.tenure import Tenure
from aggregator.timings import Timings
from aggregator.work import Work
from aggregator.writes import NO_WRITES
from tributary.errors import Superseded, TributaryError
from tributary.model.aggregate import Layout
from tributary.model.rows import Shape
from tributary.store import keys
from tributary.store.pipe import Pipe

STEPS_ASIDE = 0.7
KEPT, GONE = "kept", "gone"  # devices
SHAPE = Shape(Layout((), 10))


def fields_of(columns: Columns) -> list[str]:
    """A field of `rows` for each reading."""
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
        rows = OwnedRows(0, pipe, SHAPE)
        self.tenure = Tenure(
            0, pipe, self._worker, self._arrive, read_max_entries=4, rows=rows, timings=Timings()
        )
        try:
            await self.tenure.begin()
        except Superseded:
            self.end()

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
            loaded = unseen and await self.tenure.pipe.call("HMGET", keys.rows(0), *unseen)
            for field, count in zip(unseen, loaded, strict=True):
                self.cache[field] = int(count or 0)
            self.cache.update(fields)
            self.cache.update(keys.series(device_of(field), "total") for field in fields)
            state = [part for f in wanted for part in (f, str(self.cache[f]))]
            # A document that cannot be parsed, so that forget searches all of `rows`.
            latest = [part for device in devices for part in (device, "{")]
            logged = [b'{"device":"%b","reading":"%b"}' % (device_of(f).encode(), f.encode())
                      for f in fields]  # fmt: skip
            # The counts are in the place of rows.
            return counts_only(sorted_)._replace(
                writes=NO_WRITES._replace(rows=state),
                latest=latest,
                alerts=NO_ALERTS._replace(transitions=logged),
            )
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

    def _arrive(self, tenure: Tenure, entries: list[Entry], _recovered: int) -> None:
        self.held.append(Work(tenure, entries))


# The checks of the last release that kept a list of pending entries; shortened to what it writes
# for entries of this test.
_FORMER_BEGIN = """
local readings, meta = KEYS[1], KEYS[2]
local function exists()
  if redis.call('EXISTS', readings) == 0 then return false end
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', readings)) do
    if group[2] == ARGV[1] then return true end
  end
  return false
end
if not exists() then
  local hwm = redis.call('HGET', meta, 'hwm') or '0-0'
  redis.call('XGROUP', 'CREATE', readings, ARGV[1], hwm, 'MKSTREAM')
  redis.call('HSET', meta, 'epoch', ARGV[2])
end
return redis.call('HGETALL', meta)
"""
_FORMER_COMMIT = """
local readings, meta = KEYS[1], KEYS[2]
if (redis.call('HGET', meta, 'epoch') or '') ~= ARGV[2] then return 'epoch' end
local oldest = redis.call('XPENDING', readings, ARGV[1], '-', '+', 1)
if not oldest[1] or oldest[1][1] ~= ARGV[5] then return 'order' end
local at = 5 + ARGV[3]
redis.call('XACK', readings, ARGV[1], unpack(ARGV, 5, at - 1))
redis.call('HSET', meta, unpack(ARGV, at, at + ARGV[4] - 1))
if ARGV[at + ARGV[4]] then redis.call('HSET', KEYS[3], unpack(ARGV, at + ARGV[4])) end
for i = at + ARGV[4], #ARGV, 2 do
  redis.call('HSET', KEYS[4], string.match(ARGV[i], '^[^|]+'), '{')
end
return 'ok'
"""


class FormerOwner:
    """An aggregator of the last release with a pending list, which a rolling upgrade leaves."""

    def __init__(self, client: redis.Redis, chance: random.Random) -> None:
        self._client, self._random = client, chance
        self._worker = f"former-{chance.random()}"
        self._names = (keys.readings(0), keys.meta(0), keys.rows(0), keys.latest(0))
        self._epoch, self._number = "", 0
        self._counts = Counts()
        self._batch: list[Entry] = []
        self._state: dict[str, int] = {}
        self.commits = 0
        self.applied: set[str] = set()  # fields of readings, whose alerts it does not know

    def step(self) -> None:
        """Begin, read or commit; after any error, begin again at the next step."""
        try:
            if not self._epoch:
                self._begin()
            elif not self._batch:
                self._read()
            else:
                self._commit()
        except redis.ResponseError:
            self._epoch, self._batch = "", []

    def _begin(self) -> None:
        found = self._client.eval(
            _FORMER_BEGIN, 2, *self._names[:2], keys.FORMER_GROUP, self._new_epoch()
        )
        meta = dict(zip(found[::2], found[1::2], strict=True))  # type: ignore[index]
        if not meta.get(b"progress"):  # it would go on with that entry, which no test needs
            self._epoch, self._counts = meta.get(b"epoch", b"").decode(), Counts.parse(meta)

    def _read(self) -> None:
        group, stream = (keys.FORMER_GROUP, self._worker), self._names[0]
        entries = self._client.xautoclaim(stream, *group, 0, "0-0", 4)[1]
        if not entries:
            reply = self._client.xreadgroup(*group, {stream: ">"}, 4)
            entries = reply[0][1] if reply else []
        flat = [
            (id_, [part for pair in fields.items() for part in pair]) for id_, fields in entries
        ]
        self._batch = flat
        if flat:
            sorted_ = sort_out(flat, self._counts)
            fields = fields_of(sorted_.columns) if sorted_.columns else []
            fields += [keys.series(device, "total") for device in {*map(device_of, fields)}]
            held = self._client.hmget(self._names[2], fields) if fields else []
            self._state = {f: int(n or 0) for f, n in zip(fields, held, strict=True)}

    def _commit(self) -> None:
        sorted_ = sort_out(self._batch, self._counts)
        if sorted_.forget or sorted_.dead or len(sorted_.ids) < len(self._batch):
            self._epoch, self._batch = "", []  # left to others
            return
        fields = fields_of(sorted_.columns) if sorted_.columns else []
        count = Counter(fields)
        count.update(keys.series(device_of(field), "total") for field in [*count.elements()])
        state = [part for f, n in self._state.items() for part in (f, str(n + count[f]))]
        epoch = self._new_epoch()
        meta = ["epoch", epoch, *sorted_.counts.since(self._counts)]
        values = (keys.FORMER_GROUP, self._epoch, len(sorted_.ids), len(meta))
        reply = self._client.eval(
            _FORMER_COMMIT, 4, *self._names, *values, *sorted_.ids, *meta, *state
        )
        self.commits += reply == b"ok"
        self.applied |= {*fields} if reply == b"ok" else set()
        self._epoch, self._counts = (epoch, sorted_.counts) if reply == b"ok" else ("", Counts())
        self._batch = []

    def _new_epoch(self) -> str:
        self._number += 1
        return f"{self._worker}:{self._number}"
