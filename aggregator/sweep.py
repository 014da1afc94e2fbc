"""Sweeps over the stored series of a partition, a page at a time.

Rows of rings are taken back from series that have been silent for longer than every window: no
window includes any of their slots. A series that records again gets another one. Series whose
metric is kept in another way than when they were written get the rows that it needs now.

Only the owner writes, in commits as of its epoch, and between two turns of the cycle: what it has
folded is committed, and a page is read behind these commits.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Collection
from operator import itemgetter

import numpy as np
from loguru import logger

from aggregator import changes
from aggregator.changes import Changes
from aggregator.owned_rows import Page
from aggregator.table import Series, Table, Unseen
from aggregator.tenure import Tenure
from aggregator.writes import NO_WRITES
from tributary.errors import TributaryError
from tributary.model.address import NO_RING, SHORT, Address
from tributary.model.clock import utc_ms
from tributary.model.rows import Run
from tributary.model.window import Window
from tributary.store import keys

SERIES_PER_PAGE = 100  # about; a small hash is one page
PAGE_INTERVAL_S = 5.0  # while nothing is found that must be rewritten
FIRST_S, FIRST_LATEST_S = 300.0, 10.0  # after a tenure begins; if only latest values are kept
_SKEW_MS = 60_000  # allowed between the clocks of the machines
_RETRY_S = 0.1  # a commit is not confirmed yet


def silent_since_ms(windows: Collection[Window], now_ms: int) -> int:
    """The time before which no window includes a slot; 0 without windows."""
    starts = [(now_ms // w.slot_ms - w.slots) * w.slot_ms for w in windows]
    return max(0, min(starts, default=0) - _SKEW_MS)


class Sweep:
    """The series of one tenure, from the first to the last and again."""

    def __init__(self, tenure: Tenure, latest: Collection[str]) -> None:
        """`latest`: the metrics of which only the latest values are kept."""
        self._tenure = tenure
        self._latest = latest
        self._cursor = "0"
        self._freed_ms = 0

    @property
    def is_over(self) -> bool:
        """Whether the tenure is."""
        return self._tenure.is_over

    async def turn(self, table: Table, now_ms: int) -> float:
        """Look at one page; return after how many seconds to look at the next one."""
        tenure = self._tenure
        if tenure.is_over or not tenure.is_ready:
            return _RETRY_S
        since_ms = silent_since_ms(table.shape.layout.windows, now_ms)
        try:
            self._cursor, page = await tenure.rows.scan(self._cursor, SERIES_PER_PAGE, since_ms)
            wrong = [
                name
                for name, address in zip(page.names, page.addresses, strict=True)
                if (name[1] in self._latest) != (address.ring == SHORT)
                and name not in table.rows(tenure.partition)
            ]
            if wrong:
                await self._rewrite(table, wrong)
        except TributaryError as error:
            tenure.end(error)
            return PAGE_INTERVAL_S
        except ValueError as error:
            log = logger.bind(action="sweep_failed", partition=tenure.partition, reason=str(error))
            log.warning("the rows of a series cannot be read; `tributary audit` names it")
            return PAGE_INTERVAL_S
        self._free_rings(table, page, set(wrong), since_ms)
        return 0.0 if wrong else PAGE_INTERVAL_S

    async def _rewrite(self, table: Table, names: list[Series]) -> None:
        """Write series into rows of the kind that their metric needs."""
        tenure = self._tenure
        devices = list(dict.fromkeys(device for device, _ in names))
        loaded = await tenure.rows.load(names, devices)
        # If the tenure has ended meanwhile, its rows are dropped before the next turn.
        table.begin_batch()
        table.load(tenure.partition, Unseen(names, devices), *loaded)
        rows = np.sort(np.array([table.rows(tenure.partition)[name] for name in names]))
        tenure.commit_part(changes.moved(tenure.counts, table, rows, tenure.rows.addresses))

    def _free_rings(
        self, table: Table, page: Page, wrong: Collection[Series], since_ms: int
    ) -> None:
        """Take the rows of rings back from silent series."""
        tenure, known = self._tenure, table.rows(self._tenure.partition)
        silent = [
            (name, address)
            for name, address, is_silent in zip(*page, strict=True)
            if is_silent and name not in wrong
        ]
        if not silent:
            return
        rings = np.array([address.ring for _, address in silent])
        for name, _ in silent:
            if (row := known.get(name)) is not None:
                table.free_ring(row)
        self._freed_ms = max(self._freed_ms, since_ms)
        head, names = keys.ring_chunks(tenure.partition), [keys.series(*n) for n, _ in silent]
        texts = [Address(address.state, NO_RING).packed() for _, address in silent]
        written = NO_WRITES._replace(
            rows=[part for pair in zip(names, texts, strict=True) for part in pair],
            chunks=[_chunk(head, run) for run in table.shape.cleared_rings(rings)],
            within=names,
            freed=([], [b"%d" % ring for ring in rings.tolist()], []),
        )
        tenure.rows.addresses.note_freed()
        notes = ("rings_freed_ms", str(self._freed_ms))
        tenure.commit_part(Changes([], tenure.counts, [], None, written, notes=notes))


def _chunk(head: str, run: Run) -> tuple[str, int, bytes]:
    return f"{head}{run.chunk}", run.offset, run.data


class Sweeps:
    """The sweeps of all tenures of a worker, and when each continues."""

    def __init__(
        self,
        latest: Collection[str],
        wake: Callable[[], object],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`wake`: called when `turn` should be called."""
        self._latest = latest
        self._wake = wake
        self._clock_s = clock_s
        self._due: list[tuple[float, Sweep]] = []
        self._next_s = math.inf

    def add(self, tenure: Tenure) -> None:
        """Begin with the series of a tenure."""
        self._later(FIRST_LATEST_S if self._latest else FIRST_S, Sweep(tenure, self._latest))

    async def turn(self, table: Table) -> None:
        """Continue one of the sweeps, if one is due."""
        now_s = self._clock_s()
        if now_s < self._next_s:
            return
        self._due = [each for each in self._due if not each[1].is_over]
        due = min(self._due, key=itemgetter(0), default=None)
        if due is not None and due[0] <= now_s:
            self._due.remove(due)
            self._later(await due[1].turn(table, utc_ms()), due[1])
        self._next_s = min((at_s for at_s, _ in self._due), default=math.inf)

    def _later(self, seconds: float, sweep: Sweep) -> None:
        at_s = self._clock_s() + seconds
        self._due.append((at_s, sweep))
        self._next_s = min(self._next_s, at_s)
        asyncio.get_running_loop().call_later(seconds, self._wake)
