"""Batches of several partitions, folded and turned into changes together. Pure.

A call of numpy takes about as long for one reading as for a hundred, and a turn of a deployment
with few readings has some of many partitions.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from aggregator import changes
from aggregator.alerts import stored
from aggregator.alerts.evaluate import evaluate
from aggregator.changes import Changes
from aggregator.fold import Folded, fold
from aggregator.overflow import Horizon
from aggregator.table import Table
from aggregator.work import PartitionBatch
from tributary.model.counter import Clock
from tributary.model.groups import Readings

_STEP_VALUES = 4_096  # 10 ms


def fold_batches(table: Table, batches: list[PartitionBatch], clock: Clock) -> Folded | None:
    """Fold the readings of batches, if they have any, into the table."""
    columns = [batch.columns for batch in batches if batch.columns is not None]
    if not columns:
        return None
    readings = Readings(
        np.concatenate([batch.rows for batch in batches if batch.columns is not None]),
        np.concatenate([column.times_ms for column in columns]),
        np.concatenate([column.values for column in columns]),
    )
    for beside in (table.counters, table.quantiles):
        beside.fold(readings, clock)
    if table.alerts.rules:
        evaluate(table.alerts, table.state, readings, clock.now_ms)
    horizon = Horizon(table.overflow, *clock, table.is_short)
    return fold(table.shape.layout, table.state, table.rings, readings, horizon)


def applied(
    table: Table, batches: list[PartitionBatch], folded: Folded | None, now_ms: int
) -> Iterator[list[Changes]]:
    """What each batch changes, in their order, of some batches in each step."""
    first = 0
    for some in _steps(batches):
        counted = []
        for batch in some:
            counted.append(_counted(table, batch, folded, first))
            first += len(batch.rows)
        at = [number for number, batch in enumerate(some) if batch.columns is not None]
        if at and folded is not None:
            mine = [some[number] for number in at]
            addresses = [batch.tenure.rows.addresses for batch in mine]
            new_devices = [batch.new_devices for batch in mine]
            counts = [counted[number] for number in at]
            found = changes.from_fold(counts, table, folded, addresses, new_devices)
            for number, batch, change in zip(at, mine, found, strict=True):
                alerts = stored.of(table, batch.tenure.partition, now_ms)
                counted[number] = change._replace(alerts=alerts)
        yield counted


def _steps(batches: list[PartitionBatch]) -> Iterator[list[PartitionBatch]]:
    """Batches that are small enough together, at least one."""
    some: list[PartitionBatch] = []
    values = 0
    for batch in batches:
        if some and values + batch.values > _STEP_VALUES:
            yield some
            some, values = [], 0
        some.append(batch)
        values += batch.values
    if some:
        yield some


def _counted(table: Table, batch: PartitionBatch, folded: Folded | None, first: int) -> Changes:
    """The counts of a batch, whose values begin at `first` in what was folded."""
    columns = batch.columns
    if columns is None or folded is None:
        if batch.sorted.forget is not None:
            table.forget(batch.tenure.partition, batch.sorted.forget.devices)
        return changes.counts_only(batch.sorted)
    readings = 0
    if len(folded.late):
        late = folded.late[(folded.late >= first) & (folded.late < first + len(batch.rows))]
        # The readings that have a value which the fold found late.
        readings = len(np.unique(columns.reading[late - first]))
    return changes.counts_only(batch.sorted, readings)
