"""What the messages of a topic mean: tables of the mapping file, then the usual conventions. Pure.

[[topic]]
filter = "garden/+/temp"      # the first table whose filter matches is used
format = "number"             # json, number, tasmota, sensor-logger, owntracks or ignore
device = "garden-{2}"         # {2}: the second level of the topic; {2-}: and all after it
metric = "temperature"        # of a number
unit = "degF"                 # of a number; converted to the unit of the catalogue
timezone = "Europe/Berlin"    # of times without a zone
time = "last_seen"            # member of a JSON object with its time
id = "message_id"             # member that identifies a message, so that it counts once
rename = {tmp = "temperature"}
units = {temperature = "degF"}  # by metric, after renaming
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

import msgspec

from bridge import topic
from tributary.errors import Misconfigured, did_you_mean
from tributary.model import reading, units
from tributary.model.catalogue import Catalogue

TOPICS_MAX = 1_000  # tables of a mapping file
Format = Literal["auto", "json", "number", "tasmota", "sensor-logger", "owntracks", "ignore"]
_FORMATS = [each for each in get_args(Format) if each != "auto"]
# Fields besides `filter` and `format`, by the formats that use them.
_USED_BY = {
    "device": {"json", "number", "tasmota"},
    "metric": {"number"},
    "unit": {"number"},
    "timezone": {"json", "tasmota"},
    "time": {"json"},
    "id": {"json", "tasmota"},
    "rename": {"json", "tasmota"},
    "units": {"json", "tasmota"},
}


class Mapping(msgspec.Struct, frozen=True, kw_only=True):
    """What the messages of the topics of one filter mean."""

    filter: str
    format: Format = "auto"
    device: str | None = None
    metric: str | None = None
    unit: str | None = None  # canonical
    timezone: str | None = None
    time: str | None = None
    id: str | None = None
    rename: dict[str, str] = {}
    units: dict[str, str] = {}  # metric → canonical unit

    @property
    def levels(self) -> list[str]:
        """The levels of the filter."""
        return self.filter.split("/")


def _usual(format_: Format, *filters: str, **fields: Any) -> list[Mapping]:
    return [Mapping(filter=each, format=format_, **fields) for each in filters]


# Conventions of programs that publish to fixed topics; the first match is used.
USUAL = (
    *_usual("ignore", "+/LWT", "+/+/LWT", "+/availability", "+/+/availability", "+/debug"),
    *_usual("ignore", "zigbee2mqtt/bridge/#", "zigbee2mqtt/+/set", "zigbee2mqtt/+/get"),
    *_usual("ignore", "homeassistant/+/+/config", "homeassistant/+/+/+/config"),
    *_usual("ignore", "stat/#", "cmnd/#", "tele/+/STATE", "tele/+/INFO1", "tele/+/INFO2"),
    *_usual("ignore", "tele/+/INFO3", "tele/+/UPTIME", "+/+/+/command"),
    *_usual("tasmota", "tele/+/SENSOR", "+/tele/SENSOR"),
    *_usual("sensor-logger", "sensor-logger", "sensor-logger/#"),
    *_usual("owntracks", "owntracks/+/+"),
    *_usual("ignore", "owntracks/#"),
    *_usual("json", "zigbee2mqtt/#", device="{2-}", time="last_seen"),
    # ESPHome, and statestream of Home Assistant: names may repeat in other components.
    *_usual("number", "+/sensor/+/state", device="{1}", metric="{3}"),
    *_usual("number", "+/+/+/state", device="{1}", metric="{2}.{3}"),
)
_ANY = Mapping(filter="#")


class Mappings:
    """Finds the mapping of a topic; topics are cached, in a bounded number."""

    _CACHED_MAX = 10_000

    def __init__(self, given: Sequence[Mapping] = ()) -> None:
        self._all = [(each, each.levels) for each in (*given, *USUAL)]
        self._cache: dict[str, tuple[Mapping, list[str]]] = {}

    def find(self, name: str) -> tuple[Mapping, list[str]]:
        """The mapping of a topic, and the levels of the topic."""
        found = self._cache.get(name)
        if found is None:
            levels = name.split("/")
            all_ = self._all
            mapping = next((each for each, of in all_ if topic.matches(of, levels)), _ANY)
            if len(self._cache) >= self._CACHED_MAX:
                self._cache.clear()
            found = self._cache[name] = (mapping, levels)
        return found


def load(path: str, catalogue: Catalogue) -> list[Mapping]:
    """Load a mapping file.

    Raises:
        Misconfigured: it cannot be read, or has errors; the message lists all of them.
    """
    try:
        return parse(Path(path).read_bytes().decode(), catalogue)
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}; use a readable TOML file") from None
    except (UnicodeDecodeError, Misconfigured) as error:
        raise Misconfigured(f"{path}: {error}") from None


def parse(text: str, catalogue: Catalogue) -> list[Mapping]:
    """Parse a mapping file; units are those that the catalogue can convert.

    Raises:
        Misconfigured: it is not TOML, or has errors; the message lists all of them.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"not TOML: {error}") from None
    problems = [
        f"{name}: unknown; write a table [[topic]] for each filter"
        for name in document.keys() - {"topic"}
    ]
    tables = document.get("topic", [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise Misconfigured("topic: write [[topic]], with two brackets, above each table")
    if len(tables) > TOPICS_MAX:
        raise Misconfigured(f"{len(tables)} tables [[topic]]; use at most {TOPICS_MAX}")
    mappings = []
    for number, table in enumerate(tables, 1):
        found = list(_table_problems(table, catalogue))
        problems += [f"[[topic]] {number}: {each}" for each in found]
        if not found:
            mappings.append(_mapping(table))
    if problems:
        raise Misconfigured("; ".join(problems))
    return mappings


def _mapping(table: dict[str, Any]) -> Mapping:
    fields = dict(table)
    if "unit" in fields:
        fields["unit"] = units.parse(fields["unit"])
    fields["units"] = {m: units.parse(unit) for m, unit in fields.get("units", {}).items()}
    return msgspec.convert(fields, Mapping)


def _table_problems(table: dict[str, Any], catalogue: Catalogue) -> Iterable[str]:
    for name, value in table.items():
        if name not in Mapping.__struct_fields__:
            known = Mapping.__struct_fields__
            yield f"{name}: unknown field; {did_you_mean(name, known)}"
        elif name in ("rename", "units"):
            if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
                yield f"{name} = {value!r}: use a table of texts"
        elif not isinstance(value, str) or not value:
            yield f"{name} = {value!r}: use a text that is not empty"
    texts = {name: value for name, value in table.items() if isinstance(value, str) and value}
    yield from (f"{name} is missing" for name in ("filter", "format") if name not in table)
    filter_ = texts.get("filter")
    if filter_ is not None and (wrong := topic.problem(filter_)) is not None:
        yield f"filter = {filter_!r}: {wrong}"
    yield from _format_problems(table, texts.get("format"))
    yield from _pattern_problems(texts, filter_)
    if "timezone" in texts and zone(texts["timezone"]) is None:
        yield f"timezone = {texts['timezone']!r}: use an IANA name such as Europe/Berlin"
    yield from _unit_problems(table, texts, catalogue)


def _format_problems(table: dict[str, Any], format_: str | None) -> Iterable[str]:
    if format_ is None:
        return
    if format_ not in _FORMATS:
        yield f"format = {format_!r}: unknown; use one of {', '.join(_FORMATS)}"
        return
    for name in table:
        if format_ not in _USED_BY.get(name, {format_}):
            yield f"{name}: has no effect with format = {format_!r}; remove it"


def _pattern_problems(texts: dict[str, str], filter_: str | None) -> Iterable[str]:
    rules = (
        ("device", reading.is_device, reading.DEVICE_RULE),
        ("metric", reading.is_metric, reading.METRIC_RULE),
    )
    for name, is_valid, rule in rules:
        pattern = texts.get(name)
        if pattern is None or filter_ is None or topic.problem(filter_) is not None:
            continue
        wrong = topic.pattern_problem(pattern, filter_)
        if wrong is None and not is_valid(topic.fill(pattern, ["x"] * 1000)[:64]):
            wrong = f"use {rule}"
        if wrong is not None:
            yield f"{name} = {pattern!r}: {wrong}"


def _unit_problems(
    table: dict[str, Any], texts: dict[str, str], catalogue: Catalogue
) -> Iterable[str]:
    given = table.get("units", {})
    pairs = list(given.items()) if isinstance(given, dict) else []
    renamed = table.get("rename", {})
    for name in renamed.values() if isinstance(renamed, dict) else ():
        if isinstance(name, str) and not reading.is_metric(name):
            yield f"rename to {name!r}: use {reading.METRIC_RULE}"
    if "unit" in texts:
        pairs.append((texts.get("metric", ""), texts["unit"]))
    for metric, unit in pairs:
        if not isinstance(unit, str):
            continue
        canonical = units.parse(unit)
        wanted = catalogue[metric].unit
        if canonical is None:
            yield f"unit {unit!r}: unknown; write it as in degF, km/h or hPa"
        elif wanted is not None and units.conversion(canonical, wanted) is None:
            yield f"unit {unit!r}: cannot be converted to {wanted}, the unit of {metric}"


def zone(name: str) -> ZoneInfo | None:
    """The zone with this IANA name, or None."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        return None
