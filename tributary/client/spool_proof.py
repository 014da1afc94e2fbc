"""Find out whether a batch was counted if its outcome is unknown and its key has expired.

Within the lifetime of its `Idempotency-Key`, a batch is simply sent again. Later, the state of
its devices can prove the outcome, because batches are sent one at a time, oldest first, and all
readings of a device in one request are stored together or not at all:

- counted: the newest reading of the device is the newest one of the batch, which is newer than
  all batches before it;
- not counted: the newest reading of the device is older than all of the batch, and the
  aggregators have applied everything that was accepted since before the batch was sent.

Everything else proves nothing: other senders of the device, times that the sender has chosen out
of order.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

import msgspec

from tributary.model import reading

# The names that a server takes for the time and the device of a reading.
TIME_NAMES = (
    "recorded_at", "ts", "timestamp", "time", "datetime", "measured_at", "received_at", "tst",
)  # fmt: skip
DEVICE_NAMES = frozenset((
    "device", "device_id", "deviceId", "deviceID", "device_name", "deviceName", "sensor_id", "sensorId",
    "node_id", "nodeId", "mac", "dev_eui", "devEui",
))  # fmt: skip
UNTRACKED = 1 << 62  # newest time of a device whose times cannot be read here
_UNKNOWN_DEVICE = "unknown_device"


class Verdict(Enum):
    """What is known about a batch."""

    COUNTED = "counted"
    NOT_COUNTED = "not counted"
    UNKNOWN = "unknown"


class Span(NamedTuple):
    """The oldest and the newest time of the readings of one device."""

    oldest_ms: int
    newest_ms: int


class Applied(NamedTuple):
    """What the server has: `newest_ms` of a device (None: no such device)."""

    newest_ms: int | None


def spans(bodies: list[bytes]) -> dict[str, Span] | None:
    """The span of each device; None if a device or a time cannot be read here."""
    found: dict[str, Span] = {}
    for body in bodies:
        fields = msgspec.json.decode(body)
        device = fields.get("device")
        if DEVICE_NAMES.isdisjoint(fields):
            device = reading.DEFAULT_DEVICE
        time_ms = _time_ms(fields.get("recorded_at"))
        if not isinstance(device, str) or time_ms is None:
            return None
        known = found.get(device, Span(time_ms, time_ms))
        found[device] = Span(min(known.oldest_ms, time_ms), max(known.newest_ms, time_ms))
    return found


def newest_ms(bodies: list[bytes]) -> dict[str, int]:
    """The newest time of each device, `UNTRACKED` where a device or a time cannot be read here."""
    known = spans(bodies)
    if known is not None:
        return {device: span.newest_ms for device, span in known.items()}
    found: dict[str, int] = {}
    for body in bodies:
        fields = msgspec.json.decode(body)
        names = {str(fields[name]) for name in DEVICE_NAMES & fields.keys()}
        found |= dict.fromkeys(names or {reading.DEFAULT_DEVICE}, UNTRACKED)
    return found


def verdict(
    of_devices: dict[str, Span],
    delivered_ms: Callable[[str], int],
    applied: Callable[[str], Applied],
    *,
    is_applied: bool,
) -> Verdict:
    """Compare a batch with what the server has.

    Args:
        of_devices: the spans of the batch.
        delivered_ms: the newest time of a device in the batches before; -1 if there is none.
        applied: what the server has of a device.
        is_applied: whether everything accepted when the batch was sent has been applied.
    """
    found = set()
    for device, span in of_devices.items():
        newest_ms = applied(device).newest_ms
        if newest_ms == span.newest_ms and delivered_ms(device) < span.newest_ms:
            found.add(Verdict.COUNTED)
        elif is_applied and (newest_ms is None or newest_ms < span.oldest_ms):
            found.add(Verdict.NOT_COUNTED)
        else:
            return Verdict.UNKNOWN
    return found.pop() if len(found) == 1 else Verdict.UNKNOWN


def applied_of(status: int, code: str, body: dict[str, Any] | None) -> Applied | None:
    """The response to `/collect?device=…`; None if it does not show what the server has."""
    if status == 404 and code == _UNKNOWN_DEVICE:
        return Applied(None)
    time_ms = _time_ms((body or {}).get("recorded_at")) if status == 200 else None
    return None if time_ms is None else Applied(time_ms)


def _time_ms(given: Any) -> int | None:
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return None
    try:
        return reading.time_ms(given)
    except (ValueError, OverflowError):
        return None
