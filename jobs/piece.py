"""Consecutive entries of a stream → what they add to the history. Pure.

Entries count in the order of their ids, each once, decoded and counted with the code of the
aggregator, so that history and aggregates agree. What the aggregator has buried does not count:
it is not in the aggregates either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import compress
from typing import NamedTuple

import numpy as np

from aggregator import account, numbering
from aggregator.account import Counts, Progress, Sorted
from aggregator.decode import Columns, Entry
from aggregator.large import Large
from tributary.history.position import Gap, Position
from tributary.model.groups import Ints
from tributary.store.tombstone import Tombstone, parts_of


class Numbers(NamedTuple):
    """Numbers of an entry and of its last reading, as append gives them."""

    entries: int = 0
    readings: int = 0


class Part(NamedTuple):
    """The readings of consecutive entries."""

    columns: Columns
    ids: list[bytes]  # of the entries
    ends: Ints  # per entry, the number of readings up to its end

    def entry_of(self, reading: Ints) -> Ints:
        """The entry of each reading, as an index into `ids`."""
        return np.searchsorted(self.ends, reading, side="right")

    def without(self, metrics: Collection[str]) -> Columns:
        """The readings of other metrics."""
        if not metrics or not any(metric in metrics for _, metric in self.columns.series):
            return self.columns
        kept = [metric not in metrics for _, metric in self.columns.series]
        is_kept = np.repeat(kept, self.columns.repeats)
        return self.columns._replace(
            series=list(compress(self.columns.series, kept)),
            repeats=self.columns.repeats[kept],
            times_ms=self.columns.times_ms[is_kept],
            values=self.columns.values[is_kept],
            reading=self.columns.reading[is_kept],
        )


class Forget(NamedTuple):
    """A tombstone: the devices are forgotten with everything before it."""

    entry_id: str
    tombstone: Tombstone


class Piece(NamedTuple):
    """What entries add to the history, and the position behind them."""

    after: Position  # the position that they follow
    position: Position
    steps: list[Part | Forget]  # in this order
    gaps: list[Gap]
    restarts: int = 0  # how often the numbers began again: Redis had lost its last entries

    @property
    def readings(self) -> int:
        """The number of readings in all parts."""
        return sum(step.columns.readings for step in self.steps if isinstance(step, Part))


def sort_out(
    entries: Sequence[Entry],
    after: Position,
    *,
    buried: Mapping[bytes, int],
    survived: Numbers = Numbers(),  # noqa: B008 - a constant
) -> Piece:
    """Decode and count at least one entry that follows a position.

    Args:
        entries: all that the stream has between two ids.
        after: the position before them.
        buried: how many readings of an entry are applied, by id, if not all of them are.
        survived: the last numbers that Redis had when its server last started.
    """
    counts = Counts(hwm=after.entry_id, done_entries=after.entries, done=after.readings)
    if not numbering.are_plain(entries, (after.entries, after.readings)):
        entries = numbering.repaired(entries, (after.entries, after.readings))
    steps: list[Part | Forget] = []
    gaps: list[Gap] = []
    restarts = 0
    for run in _runs(entries, after.entries, buried):
        first = _first_numbers(run)
        if first is not None and (first[0] <= counts.done_entries or first[1] < counts.done):
            counts = _restarted(counts, first, survived)
            restarts += 1
        for found, step in _steps(run, counts, buried):
            if found.lost_entries > counts.lost_entries:
                gaps.append(_gap(counts, found, run[0][0].decode()))
            counts = found
            steps += [] if step is None else [step]
    position = Position(entries[-1][0].decode(), counts.done_entries, counts.done)
    return Piece(after, position, steps, gaps, restarts)


def metrics(piece: Piece) -> set[str]:
    """The metrics of the readings in all parts."""
    parts = (step.columns.series for step in piece.steps if isinstance(step, Part))
    return {metric for series in parts for _, metric in series}


def missed(piece: Piece, entry_ids: Iterable[str]) -> list[str]:
    """Those of the tombstones that were trimmed before the piece was read.

    Streams lose their oldest entries, so they come before everything in the piece.
    """
    first, last = parts_of(piece.after.entry_id), parts_of(piece.position.entry_id)
    return [entry_id for entry_id in entry_ids if first < parts_of(entry_id) <= last]


def missing_behind(position: Position, done: Numbers, now_ms: int) -> Gap | None:
    """The gap behind everything that could be read.

    Args:
        position: behind the last entry that the stream has.
        done: the numbers that the aggregators have reached.
        now_ms: time of the server, UTC.
    """
    entries = done.entries - position.entries
    if entries <= 0:
        return None
    readings = max(0, done.readings - position.readings)
    return Gap(time_ms(position.entry_id), now_ms, entries, readings)


def time_ms(entry_id: str) -> int:
    """The time in the id of an entry, UTC; 0 in the one before all."""
    return int(entry_id.partition("-")[0])


def _runs(
    entries: Sequence[Entry], number: int, buried: Mapping[bytes, int]
) -> Iterator[list[Entry]]:
    """Split entries where a number is not the next one, and around those in `buried`."""
    run: list[Entry] = []
    for entry in entries:
        found = numbering.numbers(entry[1])
        is_next = found is None or found[0] == number + 1
        if run and (not is_next or entry[0] in buried or run[-1][0] in buried):
            yield run
            run = []
        run.append(entry)
        number = number if found is None else found[0]
    yield run


def _first_numbers(run: list[Entry]) -> tuple[int, int] | None:
    return next(filter(None, (numbering.numbers(fields) for _, fields in run)), None)


def _restarted(counts: Counts, first: tuple[int, int], survived: Numbers) -> Counts:
    """The counts before an entry whose numbers have been given before: to an entry that is lost."""
    number, reading = first
    entries, readings = survived
    if not (entries < number and readings <= reading):
        entries, readings = number - 1, reading  # it counts, and nothing before it is missing
    return Counts(hwm=counts.hwm, done_entries=entries, done=readings)


def _steps(
    run: list[Entry], counts: Counts, buried: Mapping[bytes, int]
) -> Iterator[tuple[Counts, Part | Forget | None]]:
    """What a run adds, with the counts behind each step."""
    at_once = len(run)
    while run:
        found = account.sort_out(run[:at_once], counts)
        if found.dead and at_once > 1:  # one by one, to know whose readings these are
            at_once = 1
            continue
        entries, run = run[: len(found.ids)], run[len(found.ids) :]
        applied = buried.get(entries[0][0])
        step = _step(entries, found) if applied is None else _applied(entries[0], applied)
        counts = found.counts
        yield counts, step


def _step(entries: list[Entry], found: Sorted) -> Part | Forget | None:
    if found.forget is not None:
        return Forget(entries[0][0].decode(), found.forget)
    if found.columns is None:
        return None
    base = found.counts.done - found.columns.readings
    numbered = [
        (id_, n) for id_, n in ((id_, numbering.numbers(fields)) for id_, fields in entries) if n
    ]
    ends = np.array([n[1] - base for _, n in numbered], np.int64)
    return Part(found.columns, [id_ for id_, _ in numbered], ends)


def _applied(entry: Entry, readings: int) -> Part | None:
    """The first readings of an entry whose rest was buried."""
    if readings == 0:
        return None
    columns = Large(entry, Progress(entry[0], readings)).applied()
    return Part(columns, [entry[0]], np.array([readings], np.int64))


def _gap(before: Counts, after: Counts, entry_id: str) -> Gap:
    return Gap(
        time_ms(before.hwm),
        time_ms(entry_id),
        after.lost_entries - before.lost_entries,
        after.lost - before.lost,
    )
