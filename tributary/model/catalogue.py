"""The catalogue of metrics: unit, range, maximum age, description, alerts and what is kept.

It is a TOML file. A metric that is not in it is recorded and returned like any other, without a
unit.
"""

from __future__ import annotations

import functools
import hashlib
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_args

import msgspec
from msgspec import Meta

from tributary.errors import Misconfigured, Refused, did_you_mean
from tributary.model import alert_rule, reading
from tributary.model.alert_rule import Rule

if TYPE_CHECKING:  # every command loads the settings, but few need numpy
    import numpy as np
    from numpy.typing import NDArray

DEFAULT_FILE = Path(__file__).with_name("catalogue.toml")

# What is kept of a metric besides its current value, its average and its totals: nothing, windows,
# or windows and the history.
Keep = Literal["latest", "windows", "all"]
KEEPS: tuple[Keep, ...] = get_args(Keep)


class Range(NamedTuple):
    """Plausible values, both ends included."""

    low: float
    high: float


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """The entry of one metric; None for omitted fields."""

    unit: Annotated[str, Meta(min_length=1, max_length=16)] | None = None
    plausible: Range | None = None
    stale_after_ms: Annotated[int, Meta(ge=1)] | None = None
    description: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    keep: Keep = "all"
    kind: Literal["gauge", "counter"] = "gauge"
    rolls_over_at: Annotated[float, Meta(gt=0)] | None = None  # of a counter
    quantiles: bool = False
    alerts: tuple[Rule, ...] = ()

    @property
    def is_counter(self) -> bool:
        """Whether its values only increase, except when it is reset or rolls over."""
        return self.kind == "counter"

    def is_plausible(self, value: float) -> bool | None:
        """Whether a value is plausible; None without a range."""
        if self.plausible is None:
            return None
        return self.plausible.low <= value <= self.plausible.high


Ranges = Mapping[str, Range]
_UNKNOWN = Metric()
_TYPES = {field.name: field.type for field in msgspec.structs.fields(Metric)}


class Catalogue:
    """Metrics by name; `digest` identifies the content."""

    def __init__(self, metrics: Mapping[str, Metric], digest: bytes = b"") -> None:
        self.metrics = metrics
        self.digest = digest

    def __getitem__(self, name: str) -> Metric:
        return self.metrics.get(name, _UNKNOWN)

    @property
    def ranges(self) -> dict[str, Range]:
        """The range of each metric that has one."""
        return {n: m.plausible for n, m in self.metrics.items() if m.plausible is not None}

    @property
    def units(self) -> dict[str, str]:
        """The unit of each metric that has one."""
        return {n: m.unit for n, m in self.metrics.items() if m.unit is not None}

    @property
    def counters(self) -> dict[str, float | None]:
        """The counters, and the value that each never reaches if it rolls over.

        Without those that have no windows: they have no increases.
        """
        found = {n: m for n, m in self.metrics.items() if m.is_counter and m.keep != "latest"}
        return {name: metric.rolls_over_at for name, metric in found.items()}

    def kept_as(self, *keeps: Keep) -> frozenset[str]:
        """The metrics with one of these values of `keep`."""
        return frozenset(n for n, m in self.metrics.items() if m.keep in keeps)

    @property
    def rules(self) -> list[Rule]:
        """The rules for alerts of all metrics."""
        return [rule for metric in self.metrics.values() for rule in metric.alerts]


def load(path: str) -> Catalogue:
    """Load a catalogue file; without a path, the bundled one.

    Raises:
        Misconfigured: it cannot be read, or has errors; the message lists all of them.
    """
    file = Path(path) if path else DEFAULT_FILE
    try:
        return parse(file.read_bytes().decode())
    except OSError as error:
        raise Misconfigured(f"{file}: {error.strerror}; use a readable TOML file") from None
    except (UnicodeDecodeError, Misconfigured) as error:
        raise Misconfigured(f"{file}: {error}") from None


@functools.lru_cache(maxsize=4)
def parse(text: str) -> Catalogue:
    """Parse a catalogue. The result is cached: each part of a process loads the catalogue.

    Raises:
        Misconfigured: it is not TOML, or has errors; the message lists all of them.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"not TOML: {error}") from None
    errors: list[str] = []
    metrics = {name: _metric(name, table, errors) for name, table in tables.items()}
    rules = sum(len(metric.alerts) for metric in metrics.values())
    if rules > alert_rule.RULES_MAX:
        errors.append(f"{rules} rules for alerts; at most {alert_rule.RULES_MAX} in all")
    if errors:
        raise Misconfigured("; ".join(errors))
    return Catalogue(metrics, hashlib.blake2b(text.encode(), digest_size=8).digest())


def is_plausible(metrics: Mapping[str, float], ranges: Ranges) -> bool:
    """Whether every value of a reading is in the range of its metric."""
    for name, value in metrics.items():
        limits = ranges.get(name)
        if limits is not None and not limits[0] <= value <= limits[1]:
            return False
    return True


def is_plausible_column(name: str, values: NDArray[np.float64], ranges: Ranges) -> bool:
    """Whether all values of a column are in the range of its metric."""
    limits = ranges.get(name)
    if limits is None or len(values) == 0:
        return True
    return bool(limits[0] <= values.min() and values.max() <= limits[1])


def check(name: str, value: float, ranges: Ranges) -> None:
    """Check a value against the range of its metric.

    Raises:
        Refused: 422 with the range.
    """
    limits = ranges.get(name)
    if limits is not None and not limits[0] <= value <= limits[1]:
        raise Refused(
            f"{name!r:.80} is {value!r:.40}, which is not plausible: the catalogue of metrics has "
            f"{limits[0]:g} to {limits[1]:g}; check the sensor, or correct the catalogue",
            status=422,
            code="implausible",
            field=name[:80],
        )


def _metric(name: str, table: Any, errors: list[str]) -> Metric:
    """Parse the table of a metric; errors are appended to `errors`."""
    if not reading.is_metric(name):
        errors.append(f"[{name}]: not a valid metric name; use {reading.METRIC_RULE}")
    if not isinstance(table, dict):
        errors.append(f"{name} = {table!r}: is outside of a table; write [METRIC] above it")
        return _UNKNOWN
    values: dict[str, Any] = {}
    for field, given in table.items():
        if field == "alerts":
            values[field] = alert_rule.parse_all(name, given, errors)
            continue
        try:
            values[field] = _field(name, field, given)
        except ValueError as error:  # a ValidationError of msgspec is one, too
            errors.append(f"[{name}] {field} = {given!r}: {str(error).split(' - at ')[0]}")
    known = {field: value for field, value in values.items() if field in _TYPES}
    if "rolls_over_at" in known and known.get("kind") != "counter":
        given = known["rolls_over_at"]
        errors.append(f'[{name}] rolls_over_at = {given!r}: only of counters; add kind = "counter"')
    return Metric(**known)


def _field(name: str, field: str, given: Any) -> Any:
    if field not in _TYPES:
        if isinstance(given, dict):
            raise ValueError(f'a name with a dot is quoted, ["{name}.{field}"]')
        raise ValueError(f"unknown field; {did_you_mean(field, _TYPES)}")
    if field == "keep" and given not in KEEPS:
        raise ValueError(f"unknown value; use {', '.join(KEEPS[:-1])} or {KEEPS[-1]}")
    value = msgspec.convert(given, _TYPES[field])
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not a finite number")
    if isinstance(value, Range) and not value.low < value.high:
        raise ValueError("the first must be smaller than the second")
    return value
