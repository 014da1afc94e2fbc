"""The rules of a reading: names of devices and metrics, numbers and times. Pure."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Context, Decimal
from typing import Self

import msgspec

DEFAULT_DEVICE = "default"
METRICS_MAX = 64
# What clients call these two; the first is Tributary's own name.
DEVICE_FIELDS = (
    "device", "device_id", "deviceId", "deviceID", "device_name", "deviceName", "sensor_id",
    "sensorId", "node_id", "nodeId", "mac", "dev_eui", "devEui",
)  # fmt: skip
TIME_FIELDS = (
    "recorded_at", "ts", "timestamp", "time", "datetime", "measured_at", "received_at", "tst",
)  # fmt: skip
RESERVED = frozenset((*DEVICE_FIELDS, *TIME_FIELDS))

DEVICE_PATTERN = "[A-Za-z0-9._:/-]{1,128}"
METRIC_PATTERN = "[a-zA-Z_][a-zA-Z0-9_.]{0,63}"

_DEVICE = re.compile(DEVICE_PATTERN)
NOT_DEVICES = frozenset((".", ".."))  # clients remove these two from paths
_METRIC = re.compile(METRIC_PATTERN)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_CUTTING = Context(prec=40, rounding=ROUND_DOWN)  # further digits are truncated, too
_FINER_THAN_MS = re.compile(r"(\.[0-9]{3})[0-9]+")
_LENGTH_WITH_MS = len("2026-11-22T10:00:00.250Z")
_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,40})?")
_NOT_IN_DEVICE = re.compile("[^A-Za-z0-9._:/-]+")
_SHORT = 3  # letters: other spellings of `ts` and `mac` are likely something else

DEVICE_RULE = "1 to 128 characters of A-Z a-z 0-9 . _ : / -, other than . and .."
METRIC_RULE = "a letter or _, then up to 63 of a-z A-Z 0-9 _ ."
DEVICE_MAX = 128
TIME_RULE = "RFC 3339 with a zone (2026-11-22T10:00:00.250Z), or a number of s, ms, µs or ns"


def is_device(name: str) -> bool:
    """Whether this is a valid device name."""
    return _DEVICE.fullmatch(name) is not None and name not in NOT_DEVICES


def is_metric(name: str) -> bool:
    """Whether this is a valid metric name, and not a spelling of a reserved one."""
    return _METRIC.fullmatch(name) is not None and reserved(name) is None


def reserved(name: str) -> str | None:
    """The reserved name that this is, apart from case and underscores: `DeviceID`, `Timestamp`."""
    if name in RESERVED:
        return name
    if len(name) > _LONGEST_RESERVED or name.startswith("_"):
        return None
    return _SPELLINGS.get(_folded(name))


def valid_device(name: str) -> str:
    """A valid device name for an invalid one: `Living Room` → `Living-Room`; empty if none.

    Accents are removed, and other characters are replaced by a hyphen.
    """
    plain = unicodedata.normalize("NFKD", name[: 4 * DEVICE_MAX])
    letters = "".join(c for c in plain if not unicodedata.combining(c))
    found = _NOT_IN_DEVICE.sub("-", letters).strip("-")[:DEVICE_MAX]
    return "" if found in NOT_DEVICES else found


def _folded(name: str) -> str:
    return name.replace("_", "").casefold()


_LONGEST_RESERVED = max(map(len, RESERVED)) + 2
_SPELLINGS = {_folded(name): name for name in sorted(RESERVED) if len(name) > _SHORT}


class TooEarly(ValueError):
    """A time before 1970."""


class Written(float):
    """A JSON number with a fraction: its double, and its text."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        """`text`: a number of JSON."""
        number = super().__new__(cls, text)
        number.text = text
        return number


def time_ms(given: float | str) -> int:
    """`recorded_at` in UTC epoch milliseconds.

    The unit of a number follows from its size: below 5e9 seconds, below 5e12 milliseconds,
    below 5e15 microseconds, else nanoseconds. Integers are never converted to a float.
    Fractions of a millisecond are truncated, never rounded up.

    Raises:
        ValueError: a naive or malformed time, or `TooEarly`.
    """
    if isinstance(given, str):
        return _from_rfc3339_ms(given)
    if given < 0:
        raise TooEarly(f"{given!r} lies before 1970")
    if isinstance(given, Written) and given <= 5e9:
        return int(_CUTTING.multiply(Decimal(given.text), 1000))
    if given < 5e9:
        return _seconds_to_ms(given)
    if given < 5e12:
        return int(given)
    return int(given) // 1000 if given < 5e15 else int(given) // 1_000_000


def number_of(text: str) -> int | Written | None:
    """The number that a text is: an epoch sent as text; None if it is not one."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        return None
    return int(match[0]) if match[1] is None else Written(match[0])


def texts_ms(given: list[str], oldest_ms: int = 0) -> list[int]:
    """`time_ms` of many texts, three times as fast.

    Raises:
        ValueError, TypeError, OverflowError: one of them is not a valid time, or before
            `oldest_ms`; `time_ms` has the reason.
    """
    if max(map(len, given)) > _LENGTH_WITH_MS:
        times_ms = [_from_rfc3339_ms(text) for text in given]
    else:
        since_epoch = [moment - _EPOCH for moment in msgspec.convert(given, list[datetime])]
        # Like `// _MS`, but three times as fast.
        times_ms = [
            t.days * 86_400_000 + t.seconds * 1000 + t.microseconds // 1000 for t in since_epoch
        ]
    if min(times_ms) < oldest_ms:
        raise ValueError("one of them is too early")
    return times_ms


def rfc3339(time_ms: int) -> str:
    """UTC epoch milliseconds as `2026-11-22T10:00:00.250Z`.

    A time outside the years 1 to 9999, which only damaged data has, becomes `N ms`.
    """
    try:
        moment = _EPOCH + timedelta(milliseconds=time_ms)
    except OverflowError:
        return f"{time_ms} ms"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seconds_to_ms(seconds: float) -> int:
    """The last millisecond whose double is not greater than `seconds`.

    So 1763805600.001 is .001, although its double is slightly smaller.
    """
    ms = int(seconds * 1000)
    if (ms + 1) / 1000 <= seconds:
        return ms + 1
    return ms - 1 if ms / 1000 > seconds else ms


def _from_rfc3339_ms(text: str) -> int:
    # msgspec rounds to microseconds, possibly up into the next second.
    exact = _FINER_THAN_MS.sub(r"\1", text) if len(text) > _LENGTH_WITH_MS else text
    try:
        moment = msgspec.convert(exact, datetime)
    except msgspec.ValidationError:
        raise ValueError(f"{text!r:.60} is not a time") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no zone")
    try:
        since_epoch = moment - _EPOCH
    except OverflowError:
        raise ValueError(f"{text!r} is not a time") from None
    if since_epoch < timedelta(0):
        raise TooEarly(f"{text!r} lies before 1970")
    return since_epoch // _MS
