"""Builds the body of `/collect` from the body stored for a device. Pure.

The aggregator writes `device` and `recorded_at` first and with a known length, so a request
without parameters needs no parsing.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from tributary.errors import Refused
from tributary.model import reading

EMPTY_ETAG = 'W/"empty"'
# Clients may cache a response for a second, then revalidate it with its ETag.
CACHE_CONTROL = "max-age=1"

_HEAD = len('{"device":"","recorded_at":"')
_TIME = len("2026-11-22T10:00:00.250Z")
_CURRENT, _AVERAGE = "current_", "average_"
_RESERVED = ("device", "recorded_at")

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_values = msgspec.json.Decoder(dict[str, str | float | None]).decode
_encode = msgspec.json.Encoder().encode

Convert = Callable[[str, float | None], float | None]


def empty(metrics: Sequence[str] = ("engine_temperature",)) -> bytes:
    """The body if nothing is recorded and the request names no device."""
    nulls = dict.fromkeys(part + name for name in metrics for part in (_CURRENT, _AVERAGE))
    head = {"device": reading.DEFAULT_DEVICE, "recorded_at": None, "age_ms": None, "stale": True}
    return _encode({**head, **nulls})


def recorded_at_ms(device: str, latest: bytes) -> int:
    """Time of the newest reading in a stored body, UTC."""
    begin = _HEAD + len(device)
    # The aggregator wrote it, so it is not validated; a double holds milliseconds exactly.
    moment = datetime.fromisoformat(latest[begin : begin + _TIME].decode())
    return round(moment.timestamp() * 1000)


def body_and_etag(
    device: str, latest: bytes, now_ms: int, stale_after_ms: int
) -> tuple[bytes, str]:
    """Insert age and stale flag after `recorded_at` of a stored body; returns it with its ETag.

    The ETag changes only with the stored body and the stale flag. It is weak: bodies with the
    same ETag may differ in `age_ms`. It contains the time of the newest reading, so the checksum
    only has to distinguish bodies of the same time.
    """
    recorded_ms = recorded_at_ms(device, latest)
    age_ms = max(0, now_ms - recorded_ms)
    end = _HEAD + len(device) + _TIME + 1
    is_stale = age_ms > stale_after_ms
    stale = b"true" if is_stale else b"false"
    body = b'%b,"age_ms":%d,"stale":%b%b' % (latest[:end], age_ms, stale, latest[end:])
    return body, f'W/"{recorded_ms:x}-{zlib.crc32(latest):x}-{is_stale:d}"'


def is_match(if_none_match: str, current: str) -> bool:
    """Whether If-None-Match contains the current ETag (RFC 9110 §13.1.2, weak comparison)."""
    if current in if_none_match:
        return True
    opaque = current.removeprefix("W/")
    given = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return any(tag in (opaque, "*") for tag in given)


def narrowed(latest: bytes, metrics: Sequence[str]) -> bytes:
    """The stored body with only these metrics; unknown ones are left out."""
    fields = _fields(latest)
    names = [*_RESERVED, *(part + name for name in metrics for part in (_CURRENT, _AVERAGE))]
    return _encode({name: fields[name] for name in names if name in fields})


def converted(latest: bytes, convert: Convert) -> bytes:
    """The stored body with every value replaced by `convert(metric, value)`."""
    return _encode({name: _converted(name, v, convert) for name, v in _values(latest).items()})


def metrics_of(latest: bytes) -> list[str]:
    """The names of the metrics in a stored body."""
    return [name.removeprefix(_CURRENT) for name in _fields(latest) if name.startswith(_CURRENT)]


def values_of(latest: bytes) -> list[tuple[str, float | None, float | None]]:
    """Metric, current value and average of each metric in a stored body."""
    fields = _values(latest)
    return [
        (metric, _number(value), _number(fields.get(_AVERAGE + metric)))
        for name, value in fields.items()
        if name.startswith(_CURRENT) and (metric := name.removeprefix(_CURRENT))
    ]


def _number(value: str | float | None) -> float | None:
    return None if isinstance(value, str) else value


EMPTY = empty()


def check_device(device: str) -> None:
    """Raise unless the name is valid.

    Raises:
        Refused: 404: no such device can exist.
    """
    if not reading.is_device(device):
        raise unknown_device(device)


def unknown_device(device: str) -> Refused:
    """404 for a device without readings."""
    return Refused(
        f"device {device!r:.140} has no readings; see /api/v1/devices",
        status=404,
        code="unknown_device",
        field="device",
    )


def unknown_metric(device: str, metric: str) -> Refused:
    """404 for a metric without readings."""
    return Refused(
        f"metric {metric!r:.80} of device {device!r:.140} has no readings; "
        f"see /api/v1/devices/{device:.140}",
        status=404,
        code="unknown_metric",
        field="metric",
    )


def _converted(name: str, value: str | float | None, convert: Convert) -> str | float | None:
    if isinstance(value, str) or name in _RESERVED:
        return value
    prefix = _CURRENT if name.startswith(_CURRENT) else _AVERAGE
    return convert(name.removeprefix(prefix), value)
