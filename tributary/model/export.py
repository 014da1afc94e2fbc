"""What an export contains: the choices of a client, validated. Pure."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, get_args

import msgspec

from tributary.errors import did_you_mean
from tributary.model import pattern, reading
from tributary.model.window import parse_duration_ms

What = Literal["readings", "slots"]
Format = Literal["csv", "ndjson", "parquet"]
WHATS: tuple[What, ...] = get_args(What)
FORMATS: tuple[Format, ...] = get_args(Format)
PATTERNS_MAX = 100
SLOT_DEFAULT = "1h"
FIELDS = ("what", "format", "devices", "metrics", "from", "to", "slot")
_MINUTE_MS, _SLOT_MAX_MS = 60_000, 366 * 86_400_000
_TIME_END_MS = 253_402_300_800_000  # the year 10000
_COVERED_MAX = 100_000  # devices whose match is remembered


class InvalidExport(ValueError):
    """A choice is not valid; `field` names it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Spec(msgspec.Struct, frozen=True, dict=True):
    """What an export contains; times are UTC ms.

    A device is part of it if one of `devices` covers it and, where a token limits the export,
    `within` does, too.
    """

    what: What = "readings"
    format: Format = "csv"
    devices: tuple[str, ...] = (pattern.ANY,)
    metrics: tuple[str, ...] = ()  # empty: all
    from_ms: int | None = None  # of recorded_at, inclusive
    to_ms: int | None = None  # exclusive
    slot_ms: int | None = None  # of slots
    within: str = pattern.ANY  # the pattern of the token

    @cached_property
    def _patterns(self) -> list[re.Pattern[str]]:
        return [pattern.compiled(text) for text in self.devices]

    @cached_property
    def _within(self) -> re.Pattern[str]:
        return pattern.compiled(self.within)

    @cached_property
    def _covered(self) -> dict[str, bool]:
        return {}

    def covers(self, device: str, metric: str) -> bool:
        """Whether a series is part of the export."""
        return (not self.metrics or metric in self.metrics) and self.covers_device(device)

    def covers_device(self, device: str) -> bool:
        """Whether a device is part of the export."""
        covered = self._covered.get(device)
        if covered is None:
            if len(self._covered) >= _COVERED_MAX:
                self._covered.clear()
            covered = self._within.fullmatch(device) is not None
            covered = covered and any(each.fullmatch(device) for each in self._patterns)
            self._covered[device] = covered
        return covered

    def overlaps(self, patterns: Sequence[str]) -> bool:
        """Whether a device can be part of the export and be covered by one of the patterns.

        True for some patterns that cannot, if those of export and token overlap with them only in
        pairs.
        """
        return any(
            self._overlaps(one) if pattern.ANY in one else self.covers_device(one)
            for one in patterns
        )

    def _overlaps(self, one: str) -> bool:
        own = any(pattern.overlap(one, other) for other in self.devices)
        return own and pattern.overlap(one, self.within)

    def narrowed(self, within: str) -> Spec | None:
        """The spec limited to the devices of a pattern; None if none of its own can be among them."""
        if not any(pattern.overlap(one, within) for one in self.devices):
            return None
        return msgspec.structs.replace(self, within=within)


def parse(given: dict[str, Any]) -> Spec:
    """The spec for the fields of a request: `devices` and `metrics` are texts with commas or lists.

    Raises:
        InvalidExport: a field is unknown or its value is not valid.
    """
    for name in given.keys() - set(FIELDS):
        raise InvalidExport(name, f"unknown field {name!r:.80}; {did_you_mean(name, FIELDS)}")
    given = {name: value for name, value in given.items() if value is not None}
    what: What = _choice("what", given.get("what", "readings"), WHATS)
    format_: Format = _choice("format", given.get("format", "csv"), FORMATS)
    if format_ == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise InvalidExport(
            "format",
            "Parquet needs pyarrow; install it with pip install 'tributary[parquet]', or use csv",
        )
    devices = _texts("devices", given.get("devices", pattern.ANY), PATTERNS_MAX)
    for text in devices:
        if not pattern.is_pattern(text):
            raise InvalidExport(
                "devices", f"devices: {text!r:.140} is not a device pattern; use {pattern.RULE}"
            )
    metrics = _texts("metrics", given["metrics"], reading.METRICS_MAX) if "metrics" in given else ()
    for text in metrics:
        if not reading.is_metric(text):
            raise InvalidExport(
                "metrics", f"metrics: {text!r:.80} is not a metric; use {reading.METRIC_RULE}"
            )
    from_ms, to_ms = (_time(name, given.get(name)) for name in ("from", "to"))
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        raise InvalidExport("to", "to must be later than from")
    slot_ms = _slot_ms(what, given.get("slot"))
    return Spec(what, format_, devices, metrics, from_ms, to_ms, slot_ms)


def _choice(name: str, value: Any, choices: Sequence[Any]) -> Any:
    if value not in choices:
        raise InvalidExport(name, f"{name}={value!r:.80} is not one of {', '.join(choices)}")
    return value


def _texts(name: str, value: Any, maximum: int) -> tuple[str, ...]:
    texts = value.split(",") if isinstance(value, str) else value
    if (
        not isinstance(texts, list)
        or not all(isinstance(text, str) for text in texts)
        or not 1 <= len(texts) <= maximum
    ):
        raise InvalidExport(name, f"{name} must be a list of 1 to {maximum} texts")
    return tuple(dict.fromkeys(texts))


def _time(name: str, value: Any) -> int | None:
    if value is None:
        return None
    try:
        time_ms = _time_ms(value)
    except (ValueError, OverflowError):
        time_ms = _TIME_END_MS
    if time_ms >= _TIME_END_MS:
        raise InvalidExport(name, f"{name}={value!r:.80} is not a time; use {reading.TIME_RULE}")
    return time_ms


def _time_ms(value: Any) -> int:
    if isinstance(value, str):
        number = reading.number_of(value)
        return reading.time_ms(value if number is None else number)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _TIME_END_MS
    return reading.time_ms(value)


def _slot_ms(what: What, value: Any) -> int | None:
    if what == "readings":
        if value is not None:
            raise InvalidExport("slot", "slot is for slots; add what=slots, or leave it out")
        return None
    text = SLOT_DEFAULT if value is None else value
    try:
        slot_ms = parse_duration_ms(text) if isinstance(text, str) else 0
    except ValueError:
        slot_ms = 0
    if not 0 < slot_ms <= _SLOT_MAX_MS or slot_ms % _MINUTE_MS:
        raise InvalidExport(
            "slot", f"slot={text!r:.80} is not a whole number of minutes, like 1m, 1h or 1d"
        )
    return slot_ms
