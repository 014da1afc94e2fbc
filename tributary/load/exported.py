"""Recognises the readings that `tributary export` writes, which are read back unchanged. Pure."""

from __future__ import annotations

from tributary.load.evidence import Evidence
from tributary.load.plan import Options
from tributary.model import reading

COLUMNS = ("device", "recorded_at", "metric", "value")


def options_for(evidence: Evidence, options: Options) -> Options:
    """The options for a table: nothing is guessed, renamed or taken for missing in an export.

    A table is one if it has exactly its columns, and if all metrics have valid names. Options of
    the user take precedence.
    """
    device, time, metric, value = COLUMNS
    if tuple(evidence.columns) != COLUMNS:
        return options
    metrics = evidence.columns[metric].distinct
    if metrics is None or not all(map(reading.is_metric, metrics)):
        return options
    names_device = options.device is not None or options.device_from_filename
    return options._replace(
        device_column=options.device_column or (None if names_device else device),
        time_columns=options.time_columns or (time,),
        metric_column=options.metric_column or metric,
        value_column=options.value_column or value,
        names={**{name: name for name in metrics}, **options.names},
        missing=options.missing or ("none",),
        decimal=options.decimal or ".",
    )
