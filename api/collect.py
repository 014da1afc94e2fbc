"""`/collect` as pure functions: the stored answer of a device and the time in, JSON out.

The aggregator writes `device` and `recorded_at` first and of known length, so the usual request
needs no parsing.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from tributary.errors import Refused
from tributary.model import reading

EMPTY_ETAG = 'W/"empty"'
# An answer may be kept for a second; whoever asks again with its ETag gets 304 while it is true.
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
    """What is answered while nothing is recorded and no device is named."""
    nulls = dict.fromkeys(part + name for name in metrics for part in (_CURRENT, _AVERAGE))
    head = {"device": reading.DEFAULT_DEVICE, "recorded_at": None, "age_ms": None, "stale": True}
    return _encode({**head, **nulls})


def recorded_at_ms(device: str, latest: bytes) -> int:
    """When the newest reading of the stored answer was recorded."""
    begin = _HEAD + len(device)
    # It is we who wrote it, so nothing is checked; a double holds milliseconds exactly.
    moment = datetime.fromisoformat(latest[begin : begin + _TIME].decode())
    return round(moment.timestamp() * 1000)


def tagged(device: str, latest: bytes, now_ms: int, stale_after_ms: int) -> tuple[bytes, str]:
    """The stored answer with its age and stale flag put in behind `recorded_at`, and its tag.

    The tag changes when the stored answer or its stale flag does, and with nothing else. It is
    weak: two answers with the same tag may differ in `age_ms`. The time of the newest reading
    stands in it, so that the checksum decides only between answers of one time.
    """
    recorded_ms = recorded_at_ms(device, latest)
    age_ms = max(0, now_ms - recorded_ms)
    end = _HEAD + len(device) + _TIME + 1
    is_stale = age_ms > stale_after_ms
    stale = b"true" if is_stale else b"false"
    body = b'%b,"age_ms":%d,"stale":%b%b' % (latest[:end], age_ms, stale, latest[end:])
    return body, f'W/"{recorded_ms:x}-{zlib.crc32(latest):x}-{is_stale:d}"'


def answer(device: str, latest: bytes, now_ms: int, stale_after_ms: int) -> bytes:
    """The body of `tagged`."""
    return tagged(device, latest, now_ms, stale_after_ms)[0]


def etag(device: str, latest: bytes, now_ms: int, stale_after_ms: int) -> str:
    """The tag of `tagged`."""
    return tagged(device, latest, now_ms, stale_after_ms)[1]


def is_match(if_none_match: str, current: str) -> bool:
    """Whether an If-None-Match names the current tag (RFC 9110 §13.1.2, weak comparison)."""
    if current in if_none_match:
        return True
    opaque = current.removeprefix("W/")
    given = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return any(tag in (opaque, "*") for tag in given)


def narrowed(latest: bytes, metrics: Sequence[str]) -> bytes:
    """The stored answer with only some metrics in it; those it does not have are left out."""
    fields = _fields(latest)
    names = [*_RESERVED, *(part + name for name in metrics for part in (_CURRENT, _AVERAGE))]
    return _encode({name: fields[name] for name in names if name in fields})


def converted(latest: bytes, convert: Convert) -> bytes:
    """The stored answer with the numbers of each metric put through `convert(metric, number)`."""
    return _encode({name: _converted(name, v, convert) for name, v in _values(latest).items()})


def metrics_of(latest: bytes) -> list[str]:
    """The metrics of the stored answer."""
    return [name.removeprefix(_CURRENT) for name in _fields(latest) if name.startswith(_CURRENT)]


EMPTY = empty()


def check_device(device: str) -> None:
    """Let a valid name pass.

    Raises:
        Refused: 404, since no such device can exist.
    """
    if not reading.is_device(device):
        raise unknown(device)


def unknown(device: str) -> Refused:
    """404 for a device that nothing was recorded of."""
    return Refused(
        f"nothing was recorded of device {device!r:.140}; see /api/v1/devices",
        status=404,
        code="unknown_device",
        field="device",
    )


def unknown_metric(device: str, metric: str) -> Refused:
    """404 for a metric that nothing was recorded of."""
    return Refused(
        f"nothing was recorded of metric {metric!r:.80} of device {device!r:.140}; "
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
