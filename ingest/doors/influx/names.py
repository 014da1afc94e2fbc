"""Devices and metrics from measurements, tags and fields: line protocol and Telegraf JSON."""

from __future__ import annotations

from collections.abc import Mapping

from ingest.doors import numbers
from tributary.model import reading

DEVICE_TAGS = ("device", "host")
# Units are measurements in Home Assistant: °C, %, µg/m³.
_SYMBOLS = str.maketrans(
    {"°": "deg", "%": "percent", "µ": "u", "μ": "u", "Ω": "ohm", "²": "2", "³": "3"}
)


def device(tags: Mapping[str, str]) -> str:
    """The device of a point.

    The tag `device`, else `host`, else the sorted tag values joined by `/`, else `default`. A value
    that is not a valid name loses its accents, and other characters become `-`.

    Raises:
        ValueError: nothing of a value is left, or the name is too long.
    """
    for tag in DEVICE_TAGS:
        if tag in tags:
            return _valid(tag, tags[tag])
    if not tags:
        return reading.DEFAULT_DEVICE
    name = "/".join(_valid(tag, value) for tag, value in sorted(tags.items(), key=_value))
    if len(name) > reading.DEVICE_MAX:
        raise ValueError(
            f"the tag values have {len(name)} characters in total, more than the {reading.DEVICE_MAX} "
            "of a device; add a tag device"
        )
    return name


def metric(measurement: str, field: str) -> str:
    """The metric `measurement_field`, with characters of neither letters nor digits as `_`.

    Some symbols have names: °C is degC, % is percent, m³ is m3.
    """
    return numbers.metric_name(f"{measurement}_{field}".translate(_SYMBOLS))


def _value(tag: tuple[str, str]) -> tuple[str, str]:
    return tag[1], tag[0]


def _valid(tag: str, value: str) -> str:
    if reading.is_device(value):
        return value
    name = reading.valid_device(value)
    if not name or len(value) > reading.DEVICE_MAX:
        raise ValueError(
            f"tag {tag}={value!r:.140} is not a device; use {reading.DEVICE_RULE}, or add a tag device"
        )
    return name
