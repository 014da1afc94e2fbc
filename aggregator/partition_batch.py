"""The entries of one partition that are applied in one turn."""

from __future__ import annotations

import numpy as np

from aggregator.account import Sorted
from aggregator.groups import Ints
from aggregator.table import Unseen
from aggregator.work import Work

_NO_ROWS: Ints = np.empty(0, np.int64)


class PartitionBatch:
    """What one turn takes from the work of one partition."""

    def __init__(self, work: Work, sorted_: Sorted, decoded_bytes: int) -> None:
        self.work = work
        self.decoded_bytes = decoded_bytes
        self.tenure = work.tenure
        self.sorted = sorted_
        self.columns = sorted_.columns  # the values to fold, if any
        self.values = 0 if self.columns is None else len(self.columns.values)
        self.unseen = Unseen([], [])
        self.loaded: list[list[bytes | None]] = [[], [], []]  # the stored values of `unseen`
        self.rows = _NO_ROWS  # of the table, one per value
