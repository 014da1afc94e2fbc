"""What is known of metrics by name: unit, plausible range, when they are stale, what they mean.

The catalogue is a TOML file. Nothing has to stand in it: a metric that does not is recorded and
answered like any other, only without a unit.
"""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from tributary.errors import Misconfigured, Refused
from tributary.model import reading

if TYPE_CHECKING:  # every command reads the settings, and few of them need numpy
    import numpy as np
    from numpy.typing import NDArray

DEFAULT_FILE = Path(__file__).with_name("catalogue.toml")


class Range(NamedTuple):
    """Values that make sense, both ends included."""

    low: float
    high: float


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one metric; None where nothing is."""

    unit: Annotated[str, Meta(min_length=1, max_length=16)] | None = None
    plausible: Range | None = None
    stale_after_ms: Annotated[int, Meta(ge=1)] | None = None
    description: Annotated[str, Meta(min_length=1, max_length=200)] | None = None

    def is_plausible(self, value: float) -> bool | None:
        """Whether a value makes sense; None if no range is known."""
        if self.plausible is None:
            return None
        return self.plausible.low <= value <= self.plausible.high


Ranges = Mapping[str, Range]
_UNKNOWN = Metric()
_TYPES = {field.name: field.type for field in msgspec.structs.fields(Metric)}


class Catalogue:
    """Metrics by name; `digest` is another one after any change."""

    def __init__(self, metrics: Mapping[str, Metric], digest: bytes = b"") -> None:
        self.metrics = metrics
        self.digest = digest

    def __getitem__(self, name: str) -> Metric:
        return self.metrics.get(name, _UNKNOWN)

    @property
    def ranges(self) -> dict[str, Range]:
        """Range of each metric that has one."""
        return {n: m.plausible for n, m in self.metrics.items() if m.plausible is not None}


def load(path: str) -> Catalogue:
    """The catalogue in a file; without a path, the one that came along.

    Raises:
        Misconfigured: it cannot be read, or naming every fault in it at once.
    """
    file = Path(path) if path else DEFAULT_FILE
    try:
        return parse(file.read_bytes().decode())
    except OSError as error:
        raise Misconfigured(
            f"{file}: {error.strerror}; name a TOML file that can be read"
        ) from None
    except (UnicodeDecodeError, Misconfigured) as error:
        raise Misconfigured(f"{file}: {error}") from None


def parse(text: str) -> Catalogue:
    """The catalogue in the text of a file.

    Raises:
        Misconfigured: it is not TOML, or naming every fault in it at once.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"not TOML: {error}") from None
    faults: list[str] = []
    metrics = {name: _metric(name, table, faults) for name, table in tables.items()}
    if faults:
        raise Misconfigured("; ".join(faults))
    return Catalogue(metrics, hashlib.blake2b(text.encode(), digest_size=8).digest())


def is_plausible(metrics: Mapping[str, float], ranges: Ranges) -> bool:
    """Whether every value of a reading lies in the range of its metric."""
    for name, value in metrics.items():
        limits = ranges.get(name)
        if limits is not None and not limits[0] <= value <= limits[1]:
            return False
    return True


def is_plausible_column(name: str, values: NDArray[np.float64], ranges: Ranges) -> bool:
    """Whether all of some values of one metric lie in its range."""
    limits = ranges.get(name)
    if limits is None or len(values) == 0:
        return True
    return bool(limits[0] <= values.min() and values.max() <= limits[1])


def check(name: str, value: float, ranges: Ranges) -> None:
    """Let a value pass that lies in the range of its metric, or that has none.

    Raises:
        Refused: 422 with the range.
    """
    limits = ranges.get(name)
    if limits is not None and not limits[0] <= value <= limits[1]:
        raise Refused(
            f"{name!r:.80} is {value!r:.40}, which is not plausible: the catalogue of metrics has "
            f"{limits[0]:g} to {limits[1]:g}; look at the sensor, or at the catalogue",
            status=422,
            code="implausible",
            field=name[:80],
        )


def _metric(name: str, table: Any, faults: list[str]) -> Metric:
    """What a table says of a metric; what is wrong with it goes to `faults`."""
    if not reading.is_metric(name):
        faults.append(f"[{name}]: not the name of a metric; use {reading.METRIC_RULE}")
    if not isinstance(table, dict):
        faults.append(f"{name} = {table!r}: stands outside of a table; write [METRIC] above it")
        return _UNKNOWN
    values = {}
    for field, given in table.items():
        try:
            values[field] = _field(name, field, given)
        except ValueError as error:  # msgspec's is one too
            faults.append(f"[{name}] {field} = {given!r}: {str(error).split(' - at ')[0]}")
    known = {field: value for field, value in values.items() if field in _TYPES}
    return Metric(**known)


def _field(name: str, field: str, given: Any) -> Any:
    if field not in _TYPES:
        if isinstance(given, dict):
            raise ValueError(f'a name with a dot is quoted, ["{name}.{field}"]')
        near = difflib.get_close_matches(field, _TYPES, n=1, cutoff=0)[0]
        raise ValueError(f"not known, did you mean {near}?")
    value = msgspec.convert(given, _TYPES[field])
    if isinstance(value, Range) and not value.low < value.high:
        raise ValueError("the first must be smaller than the second")
    return value
