"""The fields of weather stations: Ecowitt, Ambient and Weather Underground.

Units are those of the protocols, whatever the station displays. Sources: the field list of
Weather Underground's upload protocol, and the `Customized` upload of Ecowitt and Ambient consoles.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ingest.doors import numbers
from ingest.doors.fields import Metrics

MISSING = -9999  # sent for a sensor that is absent
# By unit: field in lower case → metric.
# fmt: off  (a table)
_BY_UNIT: dict[str, dict[str, str]] = {
    "degF": {
        "tempf": "temperature",
        "tempinf": "indoor_temperature",
        "indoortempf": "indoor_temperature",
        "dewptf": "dew_point",
        "dewpointf": "dew_point",
        "feelslikef": "feels_like_temperature",
        "windchillf": "wind_chill",
        "heatindexf": "heat_index",
        "soiltempf": "soil_temperature",
        "tf_co2": "co2_temperature",
    },
    "%RH": {
        "humidity": "humidity",
        "humidityin": "indoor_humidity",
        "indoorhumidity": "indoor_humidity",
        "humi_co2": "co2_humidity",
    },
    "%": {"soilmoisture": "soil_moisture"},
    "inHg": {
        "baromrelin": "pressure",
        "baromin": "pressure",
        "baromabsin": "absolute_pressure",
        "absbaromin": "absolute_pressure",
        "vpd": "vapor_pressure_deficit",
    },
    "mph": {
        "windspeedmph": "wind_speed",
        "windgustmph": "wind_gust",
        "maxdailygust": "wind_gust_max_daily",
        "windspdmph_avg2m": "wind_speed_avg_2m",
        "windspdmph_avg10m": "wind_speed_avg_10m",
        "windgustmph_10m": "wind_gust_10m",
    },
    "deg": {
        "winddir": "wind_direction",
        "windgustdir": "wind_gust_direction",
        "winddir_avg2m": "wind_direction_avg_2m",
        "winddir_avg10m": "wind_direction_avg_10m",
        "windgustdir_10m": "wind_gust_direction_10m",
    },
    "in/h": {"rainratein": "rain_rate", "rrain_piezo": "rain_rate_piezo"},
    "in": {
        "rainin": "rain_hourly",
        "eventrainin": "rain_event",
        "hourlyrainin": "rain_hourly",
        "dailyrainin": "rain_daily",
        "weeklyrainin": "rain_weekly",
        "monthlyrainin": "rain_monthly",
        "yearlyrainin": "rain_yearly",
        "totalrainin": "rain_total",
        "last24hrainin": "rain_24h",
        "erain_piezo": "rain_event_piezo",
        "hrain_piezo": "rain_hourly_piezo",
        "drain_piezo": "rain_daily_piezo",
        "wrain_piezo": "rain_weekly_piezo",
        "mrain_piezo": "rain_monthly_piezo",
        "yrain_piezo": "rain_yearly_piezo",
        "last24hrain_piezo": "rain_24h_piezo",
    },
    "W/m2": {"solarradiation": "solar_radiation"},
    "km": {"lightning": "lightning_distance"},
    "ug/m3": {"aqpm2.5": "pm25", "aqpm10": "pm10"},
    "": {"uv": "uv_index"},
}
# fmt: on
_CHANNELS = [
    (re.compile(pattern), metric, unit)
    for pattern, metric, unit in (
        (r"temp([0-9]{1,2})f", "temperature", "degF"),
        (r"humidity([0-9]{1,2})", "humidity", "%RH"),
        (r"soil(?:moisture|hum)([0-9]{1,2})", "soil_moisture", "%"),
        (r"soiltemp([0-9]{1,2})f", "soil_temperature", "degF"),
        (r"tf_ch([0-9]{1,2})", "probe_temperature", "degF"),
    )
]
_NOT_MEASURED = frozenset((
    "passkey", "mac", "id", "password", "token", "device", "dateutc", "stationtype", "model", "freq",
    "runtime", "heap", "interval", "action", "softwaretype", "realtime", "rtfreq", "lightning_time",
))  # fmt: skip
# Names that look as if they had a unit, but have none to convert.
_UNITLESS = re.compile(r".*batt.*|(?:co2|pm25|pm10|aqi\w*)_?in(?:_\w+)?|srain_piezo|.*humid\w*in")
# Units in names, and names whose unit is uncertain: they would be stored in a wrong unit.
_HAS_UNIT = re.compile(
    r".*(?:f|in|inhg|mph|kmh|kph|kts|knots|mm|cm|hpa|kpa|mmhg|ft|mi|miles)(?:[0-9]*|_\w*)"
    r"|w?bgt|lightning_distance|visibility"
)


class Measured(NamedTuple):
    """A metric and the unit of its field; an empty unit is not converted."""

    metric: str
    unit: str


_FIELDS = {
    name: Measured(metric, unit)
    for unit, names in _BY_UNIT.items()
    for name, metric in names.items()
}


def add(fields: Mapping[str, str], metrics: Metrics) -> None:
    """Add what a station measured to `metrics`.

    Args:
        fields: by name, as sent; names are compared without regard to case.
        metrics: receives the values, each in the unit of the catalogue; names of fields that are
            not stored, since they are text or in an unknown unit, are added to `ignored`.

    Raises:
        Refused: 422, two fields have different values for one metric, or a unit does not fit.
    """
    for name, text in fields.items():
        folded = name.casefold()
        if folded in _NOT_MEASURED:
            continue
        value, field = numbers.of(text), _field(name, folded)
        if value is None or field is None:
            metrics.ignored.add([name])
        elif value != MISSING:
            metrics.add(name, field.metric, value, field.unit)


def _field(name: str, folded: str) -> Measured | None:
    """What a field measures; None if its unit is unknown."""
    known = _FIELDS.get(folded)
    if known is not None:
        return known
    for pattern, metric, unit in _CHANNELS:
        if (channel := pattern.fullmatch(folded)) is not None:
            return Measured(f"{metric}_{int(channel[1])}", unit)
    if _UNITLESS.fullmatch(folded) is None and _HAS_UNIT.fullmatch(folded) is not None:
        return None
    return Measured(numbers.metric_name(name), "")
