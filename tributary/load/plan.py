"""How the records of a file become readings, and the overrides of the user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tributary.load.cell import Cell
from tributary.load.file_records import Form
from tributary.load.text import Format


class Overrides(NamedTuple):
    """Options of the user that replace guesses.

    `names` is column → metric; a column mapped to "" is left out. `decimal` is the decimal mark
    of ambiguous cells.
    """

    device_column: str | None = None
    time_column: str | None = None
    names: Mapping[str, str] = {}
    delimiter: str | None = None
    decimal: str | None = None


class Column(NamedTuple):
    """A column of numbers and its metric; without a metric, `left_out` is the reason.

    `unit` is the one that most of its cells end with.
    """

    name: str
    metric: str = ""
    mark: str = "."
    unit: str = ""
    example: Cell = None  # None: empty in the sample
    left_out: str = ""


class DeviceColumn(NamedTuple):
    """The column that names the device."""

    name: str
    example: Cell


class TimeColumn(NamedTuple):
    """The column of `recorded_at` and its format."""

    name: str
    format: Format
    mark: str
    example: Cell
    distinct: int  # distinct times in the sample


class Plan(NamedTuple):
    """How records become readings.

    Without a device column they belong to the default device; without a time column they get
    the time of arrival.
    """

    form: Form
    device: DeviceColumn | None
    time: TimeColumn | None
    columns: tuple[Column, ...]

    @property
    def metrics(self) -> list[Column]:
        """The columns that become metrics."""
        return [column for column in self.columns if column.metric]

    @property
    def essence(self) -> tuple[object, ...]:
        """The part of the plan that determines how records are read, without the examples."""
        return (
            self.form,
            self.device and self.device.name,
            self.time and (self.time.name, self.time.format, self.time.mark),
            [(c.name, c.metric, c.mark, c.unit) for c in self.metrics],
        )
