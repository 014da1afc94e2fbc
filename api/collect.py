"""`/collect` as a pure function: the stored answer of a device and the time in, JSON out."""

from __future__ import annotations

from tributary import reading
from tributary.errors import Refused

EMPTY = (
    b'{"device":"default","recorded_at":null,"age_ms":null,"stale":true,'
    b'"current_engine_temperature":null,"average_engine_temperature":null}'
)
_HEAD = len('{"device":"","recorded_at":"')
_TIME = len("2026-11-22T10:00:00.250Z")


def recorded_at_ms(device: str, latest: bytes) -> int:
    """When the newest reading of the stored answer was recorded."""
    begin = _HEAD + len(device)
    return reading.time_ms(latest[begin : begin + _TIME].decode())


def answer(device: str, latest: bytes, now_ms: int, stale_after_ms: int) -> bytes:
    """The stored answer with its age and stale flag put in behind `recorded_at`.

    The aggregator writes `device` and `recorded_at` first and of known length, so nothing
    has to be parsed.
    """
    age_ms = max(0, now_ms - recorded_at_ms(device, latest))
    end = _HEAD + len(device) + _TIME + 1
    stale = b"true" if age_ms > stale_after_ms else b"false"
    return b'%b,"age_ms":%d,"stale":%b%b' % (latest[:end], age_ms, stale, latest[end:])


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
