"""The fleet that a plan is for: `devices=20000 rate=1 metrics=3 keep=windows`."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from tributary.errors import Misconfigured, did_you_mean
from tributary.model.catalogue import KEEPS, Keep

# Name of a figure → its default (None: it must be given), least and greatest value.
_KEYS: dict[str, tuple[float | None, float, float]] = {
    "devices": (None, 1, 1e9),
    "rate": (None, 1e-6, 1e6),
    "metrics": (1, 1, 64),
    "batch": (1, 1, 10_000),
    "partitions": (1, 1, 4_096),
}
_NAMES = (*_KEYS, "keep")


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """A fleet: `rate` readings per second of each device, `batch` readings per request."""

    devices: int
    rate: float
    metrics: int = 1
    batch: int = 1
    partitions: int
    keep: Keep = "all"  # of every metric, as in the catalogue of metrics

    @property
    def readings_per_s(self) -> float:
        """Of all devices."""
        return self.devices * self.rate

    @property
    def series(self) -> int:
        """One per metric and device."""
        return self.devices * self.metrics


def parse(words: Iterable[str], partitions: int) -> Load:
    """A fleet from words such as `devices=20000`, with the default number of partitions.

    Raises:
        Misconfigured: a word is unknown, missing, repeated, or its value is invalid.
    """
    given: dict[str, float] = {}
    keeps: list[Keep] = []
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise Misconfigured(f"--plan: {word!r} has no value; write NAME=NUMBER")
        if name not in _NAMES:
            names = ", ".join(_NAMES)
            hint = did_you_mean(name, _NAMES)
            raise Misconfigured(f"--plan: unknown name {name!r}; {hint} The names are {names}")
        if name in given or (name == "keep" and keeps):
            raise Misconfigured(f"--plan: {name} is given twice; give it once")
        if name == "keep":
            keeps.append(_keep(text))
        else:
            given[name] = _number(name, text)
    missing = [
        name for name, (default, *_) in _KEYS.items() if default is None and name not in given
    ]
    if missing:
        raise Misconfigured(
            f"--plan: {' and '.join(missing)} missing; write, for example, "
            "devices=20000 rate=1 metrics=3"
        )
    rate = given.pop("rate")
    whole = {name: int(value) for name, value in given.items()}
    return Load(rate=rate, keep=(*keeps, "all")[0], **{"partitions": partitions, **whole})


def _keep(text: str) -> Keep:
    for keep in KEEPS:
        if text == keep:
            return keep
    raise Misconfigured(
        f"--plan: keep={text} is unknown; use {', '.join(KEEPS[:-1])} or {KEEPS[-1]}"
    )


def _number(name: str, text: str) -> float:
    _, least, greatest = _KEYS[name]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    is_whole = name == "rate" or value == value // 1
    if not (least <= value <= greatest and is_whole):
        kind = "a number" if name == "rate" else "an integer"
        raise Misconfigured(
            f"--plan: {name}={text} is not {kind} from {least:g} to {greatest:g}, without separators"
        )
    return value
