"""How the records of a file become readings, and what the user has to say about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tributary.load.cell import Cell
from tributary.load.file_records import Form
from tributary.load.text import Format


class Wishes(NamedTuple):
    """What the user has said, and is therefore not guessed.

    `names` is column → metric; a column named "" is left out. `decimal` is the decimal mark
    where a cell can be read both ways.
    """

    device_column: str | None = None
    time_column: str | None = None
    names: Mapping[str, str] = {}
    delimiter: str | None = None
    decimal: str | None = None


class Column(NamedTuple):
    """A column of numbers and its metric; without a metric, `left_out` says why.

    `unit` is what most of its cells end with.
    """

    name: str
    metric: str = ""
    mark: str = "."
    unit: str = ""
    example: Cell = None  # None: empty as far as was looked
    left_out: str = ""


class DeviceColumn(NamedTuple):
    """The column that names the device."""

    name: str
    example: Cell


class TimeColumn(NamedTuple):
    """The column of `recorded_at`, and how it writes times."""

    name: str
    format: Format
    mark: str
    example: Cell
    distinct: int  # different times among those looked at


class Plan(NamedTuple):
    """How records become readings.

    Without a device they belong to the default one; without a time they get that of their
    arrival.
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
        """What decides how records are read, without the examples."""
        return (
            self.form,
            self.device and self.device.name,
            self.time and (self.time.name, self.time.format, self.time.mark),
            [(c.name, c.metric, c.mark, c.unit) for c in self.metrics],
        )
