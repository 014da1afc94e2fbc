"""How the records of a file become readings, and the options of the user."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import NamedTuple

from tributary.errors import Misconfigured
from tributary.load.table import Form
from tributary.model.reading import DEFAULT_DEVICE
from tributary.model.units import SAME, Conversion

OLDEST_MS = 946_684_800_000  # 2000-01-01T00:00:00Z


class NoMetrics(Misconfigured):
    """No column of a file becomes a metric; other files may still be loaded."""


class Options(NamedTuple):
    """Options of the user; None and empty mean that the file decides.

    `names` is column → metric; a column mapped to "" is left out. `time_columns` is `("none",)`
    for times of arrival. `is_day_first` orders ambiguous dates, `decimal` ambiguous numbers.
    Readings before `oldest_ms` are left out; `now_ms` is the time of the load.
    """

    device: str | None = None
    device_column: str | None = None
    device_from_filename: bool = False
    time_columns: tuple[str, ...] = ()
    time_formats: tuple[str, ...] = ()
    timezone: str | None = None
    start: str | None = None
    is_day_first: bool | None = None
    metric_column: str | None = None
    value_column: str | None = None
    unit_column: str | None = None
    names: Mapping[str, str] = {}
    columns: tuple[str, ...] = ()
    skip_lines: int = 0
    comment: str = ""
    missing: tuple[str, ...] = ()
    delimiter: str | None = None
    decimal: str | None = None
    oldest_ms: int = OLDEST_MS
    now_ms: int = 0


class Device(NamedTuple):
    """The device of every row, or the column that names it, with clean names by written ones."""

    name: str = DEFAULT_DEVICE
    column: str | None = None
    renamed: Mapping[str, str] = {}
    example: str = ""
    note: str = ""
    is_default: bool = False


class Zone(NamedTuple):
    """The zone of times without one: a name and its rules, or a constant offset."""

    label: str = "UTC"
    rules: tzinfo | None = None
    offset_min: int = 0
    note: str = ""
    is_default: bool = False


class Time(NamedTuple):
    """The columns of `recorded_at`, joined by a blank, and how they are read.

    `kind` is `text`, `epoch`, `elapsed`, `clock`, `pattern`, `excel` or `parts`. `unit_ms` is
    the unit of elapsed numbers, and `start_ms` what they count from.
    """

    columns: tuple[str, ...]
    kind: str
    order: str = "dmy"
    patterns: tuple[str, ...] = ()
    zone: Zone = Zone()
    mark: str = "."
    unit_ms: float = 0.0
    start_ms: int = 0
    example: str = ""
    is_ordered: bool = False  # whether the order matters


class Column(NamedTuple):
    """A column and its metric; without a metric, `left_out` is the reason.

    `unit` is as written, `stored` that of the stored values, `mark` the decimal mark of
    ambiguous cells.
    """

    name: str
    metric: str = ""
    mark: str = "."
    unit: str = ""
    stored: str = ""
    conversion: Conversion = SAME
    is_boolean: bool = False
    example: str | None = None  # None: the column is empty
    left_out: str = ""


class Long(NamedTuple):
    """A table with a quantity per row: the columns of its name, value and unit.

    `metrics` is quantity → metric; the value column is in the plan's columns.
    """

    quantity: str
    value: str
    unit: str | None
    metrics: Mapping[str, Column]
    left_out: Mapping[str, str] = {}


class Plan(NamedTuple):
    """How records become readings.

    Without a time they get the time of arrival. `unit_column` has the unit of the only metric.
    """

    form: Form
    device: Device
    time: Time | None
    columns: tuple[Column, ...]
    long: Long | None = None
    unit_column: str | None = None
    missing: frozenset[str] = frozenset()
    oldest_ms: int = OLDEST_MS

    @property
    def metrics(self) -> list[Column]:
        """The columns that become metrics."""
        return [column for column in self.columns if column.metric]

    @property
    def essence(self) -> tuple[object, ...]:
        """The part of the plan that determines how records are read, without the examples."""
        time = self.time and self.time._replace(example="")
        return (
            self.form,
            (self.device.name, self.device.column, sorted(self.device.renamed.items())),
            repr(time),
            [column._replace(example="") for column in self.metrics],
            self.long and (self.long[:3], sorted(map(repr, self.long.metrics.items()))),
            (self.unit_column, sorted(self.missing), self.oldest_ms),
        )
