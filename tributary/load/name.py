"""Column names: which is the device, which the time, and the metric names of the others."""

from __future__ import annotations

import re
import unicodedata

from tributary.model import reading

# Common names of columns → metrics of the catalogue.
_KNOWN = {
    "engine_coolant_temp": "engine_temperature",
    "engine_coolant_temperature": "engine_temperature",
    "coolant_temp": "engine_temperature",
    "coolant_temperature": "engine_temperature",
    "engine_temp": "engine_temperature",
    "rpm": "engine_rpm",
    "engine_speed_rpm": "engine_rpm",
    "vehicle_speed": "speed",
}
_DEVICE = (
    "device", "device_id", "deviceid", "vehicle_id", "vehicle", "vin", "car_id", "car",
    "sensor_id", "sensor", "station_id", "station", "machine_id", "machine", "unit_id", "host",
)  # fmt: skip
_TIME = (
    "recorded_at", "timestamp", "time", "datetime", "date_time", "time_stamp", "ts", "date",
    "time_ms", "time_s", "epoch", "unix_time", "unixtime", "gps_time", "device_time", "created_at",
)  # fmt: skip
_ROW_NUMBERS = (
    "id", "index", "idx", "n", "no", "nr", "num", "number", "ord", "order", "row", "row_id", "seq",
    "record", "unnamed_0", "column_1",
)  # fmt: skip
_CODES = ("trouble_codes", "trouble_code", "dtc", "dtc_number", "dtc_codes")
_DEGREES = {"latitude": 90.0, "lat": 90.0, "longitude": 180.0, "lon": 180.0, "lng": 180.0}
_UNIT = re.compile(r"\s*[(\[]([^()\[\]]{0,24})[)\]]\s*$")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_METRIC_LENGTH_MAX = 64


def plain(column: str) -> str:
    """A column name in lower case with underscores: `Coolant Temp (°C)` → `coolant_temp`."""
    bare = _UNIT.sub("", column) or column
    ascii_ = unicodedata.normalize("NFKD", bare).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", _HUMP.sub("_", ascii_).lower()).strip("_")


def unit(column: str) -> str:
    """The unit in brackets at the end of a column name, or nothing."""
    match = _UNIT.search(column)
    return match[1].strip() if match else ""


def metric(column: str) -> str:
    """The metric of a column, or nothing if its name has no letter or digit."""
    name = plain(column)
    name = _KNOWN.get(name, name)
    if name[:1].isdigit() or name in reading.RESERVED:
        name = "_" + name
    return name[:_METRIC_LENGTH_MAX]


def device_rank(column: str) -> int | None:
    """The rank of a column name as that of the device, 0 the most likely; None if it is none."""
    name = plain(column)
    return _DEVICE.index(name) if name in _DEVICE else None


def time_rank(column: str) -> int | None:
    """The rank of a column name as that of the time, 0 the most likely; None if it is none."""
    name = plain(column)
    return _TIME.index(name) if name in _TIME else None


def is_row_number(column: str) -> bool:
    """Whether a column numbers the rows if its cells count up."""
    return plain(column) in _ROW_NUMBERS


def is_code(column: str) -> bool:
    """Whether the numbers of a column are codes, so that an average is meaningless."""
    return plain(column) in _CODES


def bound(column: str) -> float | None:
    """The maximum magnitude of the values of a column of degrees."""
    return _DEGREES.get(plain(column))
