"""Moves the series of a partition that are stored in format 2 to rows, some in each turn.

What is recorded again is moved by the commit of its reading; this is for everything else. Until
a series is moved, its fields are read as before; the commit that writes its rows removes them.
"""

from __future__ import annotations

import numpy as np
from loguru import logger

from aggregator import changes
from aggregator.table import Table, Unseen
from aggregator.tenure import Tenure
from tributary.errors import TributaryError

SERIES_PER_TURN = 128  # 0.3 MB with all windows full


class Mover:
    """The series of one tenure."""

    def __init__(self, tenure: Tenure) -> None:
        self._tenure = tenure

    async def turn(self, table: Table) -> bool:
        """Move some series between two turns of the cycle; return whether there may be more."""
        tenure = self._tenure
        if tenure.is_over or not tenure.is_ready:
            return not tenure.is_over
        try:
            names = await tenure.rows.names_in_format_2(SERIES_PER_TURN)
            if not names:
                self._log("the partition is of format 3")
                return False
            series = [(device, metric) for device, _, metric in (n.partition("|") for n in names)]
            devices = list(dict.fromkeys(device for device, _ in series))
            loaded = await tenure.rows.load(series, devices)
            # If the tenure has ended meanwhile, its rows are dropped before the next turn.
            table.begin_batch()
            table.load(tenure.partition, Unseen(series, devices), *loaded)
        except TributaryError as error:
            tenure.end(error)
            return False
        except ValueError as error:
            self._log(
                f"a series stays in format 2: {error}; forget its device, or restore a backup"
            )
            return False
        rows = np.sort(np.array([table.rows(tenure.partition)[each] for each in series]))
        tenure.commit_part(changes.moved(tenure.counts, table, rows, tenure.rows.addresses))
        return True

    def _log(self, text: str) -> None:
        log = logger.bind(action="moved", partition=self._tenure.partition, result=text)
        log.info("series moved to rows")
