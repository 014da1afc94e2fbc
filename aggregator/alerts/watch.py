"""Looks for series of a partition that have become silent, and applies changes of the rules.

`due` has each series with a rule `stale_for` once, with a time not later than it becomes stale.
It is not written with every reading: when that time comes, the newest reading shows whether the
series is stale, and otherwise when to look again. So it does not matter which series are in memory.

Replies come behind the blocking read of the tenure, up to a second later, while the cycle goes on.
What is read is used between two turns, unless the series was in memory in the meantime.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from loguru import logger

from aggregator.alerts import stored
from aggregator.alerts.states import FIRING, OK, Change
from aggregator.alerts.stored import NO_ALERTS, AlertWrites
from aggregator.changes import Changes
from aggregator.owned_rows import Loaded
from aggregator.table import Series, Table, Unseen
from aggregator.tenure import Tenure
from tributary.errors import TributaryError
from tributary.model import alert
from tributary.model.aggregate import NO_TIME
from tributary.model.clock import utc_ms
from tributary.store import keys, scripts

LOOK_EVERY_S = 1.0
SERIES_PER_LOOK = 512
_SCAN_COUNT = 1_000  # fields that one step reads when the rules have changed


class Turns(NamedTuple):
    """What the turns of a cycle work on, and the lock that they hold."""

    lock: asyncio.Lock
    table: Callable[[], Table]


class Watch:
    """The series of one tenure with rules."""

    def __init__(self, tenure: Tenure, turns: Turns) -> None:
        self._tenure, self._turns = tenure, turns
        self._rules = tenure.rows.rules
        self._partition = tenure.partition
        self._pause_s = LOOK_EVERY_S
        # If the rules have changed: first the states of removed ones, then every series.
        is_applied = tenure.stored_rules == self._rules.digest
        self._steps = [] if is_applied else [self._end_removed, self._watch_all]
        self._cursor = 0

    async def run(self) -> None:
        """Look at some series every second, until the tenure is over."""
        try:
            while (self._steps or self._rules.has_stale) and not self._tenure.is_over:
                self._pause_s = LOOK_EVERY_S
                if self._tenure.is_ready:
                    await (self._steps[0] if self._steps else self._look)()
                await asyncio.sleep(self._pause_s)
        except TributaryError as error:
            self._tenure.end(error)
        except ValueError as error:
            log = logger.bind(action="alerts_unreadable", partition=self._partition)
            log.bind(reason=str(error)).error(
                "what is stored of a series is unreadable, and no series of its partition is "
                "watched for silence; forget its device, or restore a backup"
            )

    async def _look(self) -> None:
        command = scripts.due_series(self._partition, count=SERIES_PER_LOOK)
        as_of_ms, *names = await self._tenure.pipe.call(*command)
        if not names:
            return
        if len(names) == SERIES_PER_LOOK:
            self._pause_s = 0.0  # there may be more
        series = [_series(name) for name in names]
        read = await self._read(series)
        async with self._turns.lock:
            if not self._use(read):
                return
            known, alerts = read.table.rows(self._partition), read.table.alerts
            rows = [known[each] for each in series if each in known]
            for row in rows:
                self._check(read.table, row, as_of_ms)
            alerts.watch(rows)
            self._commit(stored.of(read.table, self._partition, utc_ms()))

    def _check(self, table: Table, row: int, as_of_ms: int) -> None:
        """Enter `firing` for the rules on silence that hold for a row."""
        newest_ms, value = _newest(table, row)
        for column, rule in table.alerts.rules_of(int(table.alerts.profile[row])):
            stale_at_ms = newest_ms + int(rule.limit)
            is_ok = table.alerts.phase[row, column] == OK
            if rule.is_stale and is_ok and stale_at_ms <= as_of_ms:
                change = Change(row, rule, FIRING, OK, stale_at_ms, value)
                table.alerts.enter(change, column)

    async def _end_removed(self) -> None:
        """End the alerts of rules that were removed."""
        removed: dict[Series, bytes] = {}
        for name, packed in await self._scan(keys.alerts(self._partition)):
            series = _series(name)
            numbers = self._rules.numbers(self._rules.profile(*series))
            left = {self._rules.rules[number].name for number in numbers}
            if alert.parse_states(packed).keys() - left:
                removed[series] = packed
        read = await self._read(list(removed), has_removed=True)
        async with self._turns.lock:
            if not self._use(read):
                return
            known, alerts = read.table.rows(self._partition), read.table.alerts
            for series in removed.keys() - set(read.unseen):
                # One with other rules was loaded with its states. One without any was not, and
                # nothing else changes its states.
                if series in known and not self._rules.profile(*series):
                    alerts.load(self._partition, known[series], series, removed[series])
            self._commit(stored.of(read.table, self._partition, utc_ms()))
            self._end_step()

    async def _watch_all(self) -> None:
        """Look once at every series with a rule on silence, whenever it recorded last."""
        if not self._rules.has_stale:
            self._end_step()
            return
        if await self._tenure.pipe.call("EXISTS", keys.state(self._partition)):
            return  # series in format 2 have no rows yet
        due: list[str | bytes] = []
        for name, _ in await self._scan(keys.rows(self._partition)):
            profile = self._rules.profile(*_series(name))
            if any(self._rules.rules[number].is_stale for number in self._rules.numbers(profile)):
                due += ("0", name)
        self._commit(NO_ALERTS._replace(due=due))
        self._end_step()

    async def _scan(self, key: str) -> list[tuple[bytes, bytes]]:
        command = ("HSCAN", key, str(self._cursor), "COUNT", str(_SCAN_COUNT))
        cursor, flat = await self._tenure.pipe.call(*command)
        self._cursor = int(cursor)
        return list(zip(flat[::2], flat[1::2], strict=True))

    def _end_step(self) -> None:
        """Go on with the next step now; record that the rules are applied behind the last one."""
        self._pause_s = 0.0
        if self._cursor:
            return
        self._steps = self._steps[1:]
        if not self._steps:
            self._commit(NO_ALERTS._replace(rules=self._rules.digest))
            log = logger.bind(action="alert_rules", partition=self._partition)
            log.debug("the rules for alerts have changed, and are applied to every series")

    async def _read(self, series: Sequence[Series], *, has_removed: bool = False) -> _Read:
        """Read what is stored of the series that are not in memory."""
        table = self._turns.table()
        known = table.rows(self._partition)
        unseen = [each for each in series if each not in known]
        devices = list(dict.fromkeys(device for device, _ in unseen))
        removed = table.note_removed(self._partition)
        if not unseen:
            return _Read(table, removed, [], [], None)
        loaded = await self._tenure.rows.load(unseen, devices, has_removed=has_removed)
        return _Read(table, removed, unseen, devices, loaded)

    def _use(self, read: _Read) -> bool:
        """Add to the table what was read, between two turns; False: it must be read again."""
        table, known = read.table, read.table.rows(self._partition)
        table.end_note(self._partition)
        seen = [each for each in read.unseen if each in known or each in read.removed]
        if self._tenure.is_over or table is not self._turns.table():
            return False
        if read.loaded is None:
            return True
        if seen:  # it was recorded meanwhile, which is rare
            return False
        table.begin_batch()
        table.load(self._partition, Unseen(read.unseen, read.devices), *read.loaded)
        forgotten = [each for each in read.unseen if _newest(table, known[each])[0] == NO_TIME]
        table.forget(self._partition, {device for device, _ in forgotten})
        return True

    def _commit(self, alerts: AlertWrites) -> None:
        if (any(alerts.lists) or alerts.meta()) and not self._tenure.is_over:
            counts = self._tenure.counts
            self._tenure.commit_part(Changes([], counts, [], None, alerts=alerts))


class _Read(NamedTuple):
    """What was read of the series that were not in memory."""

    table: Table
    removed: set[Series]  # from the table since then
    unseen: list[Series]
    devices: list[str]
    loaded: Loaded | None


def _series(name: bytes) -> Series:
    device, _, metric = name.decode().partition("|")
    return device, metric


def _newest(table: Table, row: int) -> tuple[int, float]:
    """Time and value of the newest reading of a row."""
    state = table.state[row]
    return int(state["times_ms"][-1]), float(state["values"][-1])
