"""SenML, RFC 8428, as JSON.

    POST /record/senml    [{"bn":"urn:dev:ow:10e2:","bt":1.7e9,"bu":"Cel","n":"temp","v":23.1},
                           {"n":"hum","u":"%RH","v":40}]

The last `:` or `/` of a name is between device and metric. `RecordDoor` parses bodies of the type
`application/senml+json` with this module.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, NamedTuple

from ingest.batch import Batch
from ingest.doors import fields, numbers
from ingest.doors.door import Door, Mount, Request
from ingest.doors.record import json_text, responses, validate
from ingest.limits import Rules
from tributary.errors import Refused

MEDIA_TYPE = "application/senml+json"
_VERSION_MAX = 10
_RELATIVE_S = 2**28  # smaller times are relative to the time of arrival
_TIME_MAX_S = 10**12
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9:./_-]*")
_SEPARATORS = (":", "/")
_TEXTS = ("bn", "n", "bu", "u", "vs", "vd")
_NUMBERS = ("bt", "t", "bv", "v", "bs", "s", "ut", "bver")
_BASE = ("bn", "bt", "bu", "bv", "bver")
_VALUES = ("v", "vb", "vs", "vd")
# Names of units in RFC 8428 and 8798 that differ from those of the catalogue.
_UNITS = {
    "Cel": "degC", "lat": "deg", "lon": "deg", "%EL": "%", "/": "1", "l": "L", "beat/min": "bpm",
}  # fmt: skip
# The metric of a record whose name is only that of a device.
_METRICS = {
    "Cel": "temperature", "K": "temperature", "%RH": "humidity", "lat": "lat", "lon": "lon",
    "V": "voltage", "A": "current", "W": "power", "lx": "illuminance", "%EL": "batt",
}  # fmt: skip


class _Record(NamedTuple):
    """A resolved record: the base fields are applied."""

    base_name: str
    own_name: str
    unit: str
    time_s: Decimal
    value: float


class SenmlDoor(Door):
    """A pack of records."""

    name = "senml"
    mounts = (Mount("/record/senml", ("POST",), fields.LANE_QUERY),)
    ok = staticmethod(responses.ok)
    duplicate = staticmethod(responses.duplicate)

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Convert a pack."""
        batch = parse(request.body, arrived_ms, rules)
        batch.idempotency_key = request.head.idempotency_key
        return batch


def parse(body: bytes, arrived_ms: int, rules: Rules) -> Batch:
    """The readings of a pack: records of one device and time are one reading.

    Raises:
        Refused: 400, 413 or 422, with the index of the record; nothing is stored.
    """
    pack = json_text.load(body)
    if not isinstance(pack, list):
        raise _wrong_shape(f"a JSON {validate.kind(pack)} is not an array of records")
    rules.check_size(len(pack))
    base: dict[str, Any] = {}
    moments: list[tuple[str, int, dict[str, float]]] = []
    open_: dict[tuple[str, int], dict[str, float]] = {}
    for index, item in enumerate(pack):
        try:
            record = _resolve(item, base)
            if record is None:
                continue
            device, metric = _split(record)
            time_ms = _time_ms(record.time_s, arrived_ms, rules)
            value = fields.converted(
                metric, record.value, _unit(record.unit) if metric in rules.units else "", rules
            )
        except Refused as refusal:
            refusal.index = index
            raise
        metrics = open_.get((device, time_ms))
        if metrics is None or metric in metrics:
            metrics = open_[device, time_ms] = {}
            moments.append((device, time_ms, metrics))
        metrics[metric] = value
    if not moments:
        validate.check_names({}, rules)  # raises
    return fields.collect(moments, rules)


def _resolve(item: Any, base: dict[str, Any]) -> _Record | None:
    """Apply the base fields, which `base` collects; None if the record has no number."""
    _check(item)
    if item.get("bver", _VERSION_MAX) > _VERSION_MAX or item.get("bver", 1) < 1:
        raise _invalid(
            "bver", f"unsupported version {item['bver']!r:.40}; send at most {_VERSION_MAX}"
        )
    if "bver" in base and item.get("bver", base["bver"]) != base["bver"]:
        raise _invalid("bver", "the records have different versions; send the same, or none")
    base.update({label: item[label] for label in _BASE if label in item})
    values = [label for label in _VALUES if label in item]
    if len(values) > 1:
        raise _invalid(values[1], f"{values[0]!r} and {values[1]!r} are both values; send one")
    if values and values[0] in ("vs", "vd"):
        return None
    if not values and ("s" in item or not item.keys() - _BASE):
        return None  # a sum, or base fields alone
    if not values and "bv" not in base:
        raise _invalid("v", "the record has no value; send v, vb, vs, vd or s")
    value = item["vb"] if values == ["vb"] else item.get("v", 0) + base.get("bv", 0)
    return _Record(
        base.get("bn", ""),
        item.get("n", ""),
        item.get("u", base.get("bu", "")),
        _seconds(base.get("bt", 0)) + _seconds(item.get("t", 0)),
        fields.double_of(value),
    )


def _check(item: Any) -> None:
    """Check the labels of a record and their types."""
    if not isinstance(item, dict):
        raise _wrong_shape(f"a JSON {validate.kind(item)} is not a record")
    for label, value in item.items():
        if label.endswith("_"):
            raise _invalid(label, f"unsupported label {label!r:.80}, which must not be ignored")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if (
            (label in _TEXTS and not isinstance(value, str))
            or (label in _NUMBERS and not is_number)
            or (label == "vb" and not isinstance(value, bool))
        ):
            raise _invalid(label, f"{label!r} is a JSON {validate.kind(value)}; see RFC 8428")


def _split(record: _Record) -> tuple[str, str]:
    """Device and metric of a record."""
    name = record.base_name + record.own_name
    if _NAME.fullmatch(name) is None:
        raise _invalid("n", f"{name!r:.140} is not a valid name; use letters, digits and -:./_")
    at = max(map(name.rfind, _SEPARATORS))
    device, metric = name[: max(at, 0)], name[at + 1 :]
    if record.base_name and record.own_name:
        if not device or not metric or 0 < at + 1 < len(record.base_name):
            raise _invalid(
                "n",
                f"{name!r:.140}: where the device ends is uncertain; send bn with a ':' or '/' at "
                "its end, and n",
            )
        return device, numbers.metric_name(metric)
    if metric[:1].isalpha() and device:
        return device, numbers.metric_name(metric)
    if record.unit not in _METRICS:
        raise _invalid("n", f"{name!r:.140} has no metric, and its unit implies none; send n")
    return name.rstrip(":/"), _METRICS[record.unit]


def _unit(name: str) -> str:
    return _UNITS.get(name, name)


def _seconds(given: float) -> Decimal:
    if not abs(given) < _TIME_MAX_S:
        raise _invalid("t", f"{given!r:.40} is not a valid time; send seconds")
    return Decimal(repr(float(given)) if isinstance(given, float) else given)


def _time_ms(time_s: Decimal, arrived_ms: int, rules: Rules) -> int:
    given_ms = int(time_s * 1000 // 1)
    is_relative = time_s < _RELATIVE_S
    sent_ms = given_ms + arrived_ms if is_relative else given_ms
    return validate.time_ms(sent_ms, arrived_ms, rules, "t")


def _wrong_shape(problem: str) -> Refused:
    return Refused(
        f'{problem}; send SenML like [{{"bn":"urn:dev:ow:10e2:","n":"temp","u":"Cel","v":23.1}}]',
        status=400,
        code="wrong_shape",
    )


def _invalid(label: str, problem: str) -> Refused:
    return Refused(problem, status=422, code="invalid_senml", field=label[:80])
