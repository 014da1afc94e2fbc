"""Doors whose clients send fields, in a form or a query string: `tempf=68&humidity=40`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from ingest.batch import Batch
from ingest.doors.door import Request
from ingest.doors.record import json_text, validate
from ingest.doors.record.item import Ignored
from ingest.limits import Rules
from tributary.auth import tokens
from tributary.errors import Refused
from tributary.model import reading, units
from tributary.model.frame import Block

FIELDS_MAX = 1_024  # Torque describes every sensor in one request
LANE_QUERY = r"[A-Za-z0-9._~:/=&+%,;@!*()-]*"
# The unit of metrics that the catalogue does not have, by the unit sent.
_UNITS = {
    "degF": "degC", "K": "degC", "inHg": "hPa", "in": "mm", "in/h": "mm/h", "mph": "m/s",
    "kn": "km/h",
}  # fmt: skip
_CHANNEL = re.compile(r"_[0-9]{1,2}$")
# A `+` that was not encoded as %2B is decoded to a space.
_LOST_PLUS = re.compile(r"(\d[Tt ]\d[\d:.]*) (\d\d:?\d\d)")
_NAIVE = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})[ +T](\d{1,2}):(\d{1,2}):(\d{1,2})(\.\d+)?", re.ASCII
)


def of(request: Request) -> dict[str, str]:
    """The fields of the query string and of a form in the body.

    Raises:
        Refused: 400 if a field occurs twice or the body is not a form, 422 for too many fields.
    """
    if request.query.repeated:
        raise json_text.duplicate_name(request.query.repeated[0])
    pairs = _form(request.body) if request.body.strip() else []
    found = json_text.unique([*request.query.items(), *pairs])
    if len(found) > FIELDS_MAX:
        raise _too_many_fields()
    return found


def _form(body: bytes) -> list[tuple[str, str]]:
    if b"=" not in body or body.lstrip()[:1] in (b"{", b"["):
        raise Refused(
            "the body is not a form; send fields like tempf=68&humidity=40",
            status=400,
            code="not_a_form",
        )
    if body.count(b"&") > 2 * FIELDS_MAX:  # a few may be empty
        raise _too_many_fields()
    try:
        return parse_qsl(body.decode().strip(), keep_blank_values=True, errors="strict")
    except UnicodeError as error:
        raise Refused(f"the form is not UTF-8: {error}", status=400, code="bad_encoding") from None


def _too_many_fields() -> Refused:
    return Refused(
        f"the request has too many fields; send at most {FIELDS_MAX}",
        status=422,
        code="too_many_fields",
    )


def device(given: Mapping[str, Any], *names: str) -> str:
    """The device: the only value that these fields have.

    Raises:
        Refused: 422 missing_device, or ambiguous_field if they differ.
    """
    present = [name for name in names if given.get(name) not in (None, "")]
    found = {str(given[name]) for name in present}
    if not found:
        raise Refused(
            f"the request has no {names[0]}; send the name of the device in it",
            status=422,
            code="missing_device",
            field=names[0],
        )
    if len(found) > 1:
        raise _ambiguous(present[0], present[-1], "the device")
    return found.pop()


def secret(request: Request, name: str) -> str:
    """The token of a request: the field `name` or `token`, else in the Authorization header.

    Raises:
        Refused: 401, it has none.
    """
    given = request.query.get(name) or request.query.get("token")
    return given or tokens.secret_of(request.head.authorization)


def time_ms(
    given: Mapping[str, Any],
    field: str,
    arrived_ms: int,
    rules: Rules,
    *,
    naive_is_utc: bool = False,
) -> int:
    """The time of a field, UTC; that of arrival if it is absent, null, empty or `now`.

    Args:
        given: the fields.
        field: RFC 3339, or a number whose unit follows from its size.
        arrived_ms: the time of arrival.
        rules: of the deployment.
        naive_is_utc: whether `2025-11-25 15:22:01` is accepted; the protocol says that it is UTC.

    Raises:
        Refused: 422.
    """
    time = given.get(field)
    if isinstance(time, str):
        time = time.strip()
        naive = _NAIVE.fullmatch(time) if naive_is_utc else None
        if naive is not None:
            year, *parts, fraction = naive.groups(default="")
            month, day, hour, minute, second = (part.zfill(2) for part in parts)
            time = f"{year}-{month}-{day}T{hour}:{minute}:{second}{fraction}Z"
        time = _LOST_PLUS.sub(r"\1+\2", time)
    if time in (None, "", "now"):
        return arrived_ms
    return validate.time_ms(time, arrived_ms, rules, field)


def converted(metric: str, value: float, given: str, rules: Rules) -> float:
    """A value in the unit that the catalogue has for the metric, or in a metric unit.

    Args:
        metric: its unit is that of `temperature` for `temperature_3`, if it has none of its own.
        value: in the unit `given`.
        given: a canonical unit; empty if it has none, or none that is certain.
        rules: of the deployment.

    Raises:
        Refused: 422 unit_mismatch, the catalogue has a unit of another quantity.
    """
    if not given:
        return value
    wanted = rules.units.get(metric) or rules.units.get(_CHANNEL.sub("", metric))
    if wanted is None:
        wanted = _UNITS.get(given, given)
    conversion = units.conversion(given, units.parse(wanted) or wanted)
    if conversion is None:
        raise Refused(
            f"{metric!r:.80} is sent in {given}, which is not convertible to the {wanted} of the "
            "catalogue of metrics; correct its unit there",
            status=422,
            code="unit_mismatch",
            field=metric[:80],
        )
    return conversion.value(value)


def double_of(value: float) -> float:
    """A number as a double; infinite beyond the range of doubles, which `validate` rejects."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


class Metrics(dict[str, float]):
    """The metrics of a reading, collected from fields, and the fields that are ignored."""

    def __init__(self, rules: Rules) -> None:
        super().__init__()
        self._rules = rules
        self._fields: dict[str, str] = {}
        self.ignored = Ignored()

    def add(self, field: str, metric: str, value: float, unit: str = "") -> None:
        """Add the value of a field.

        Args:
            field: as sent.
            metric: its name.
            value: in `unit`.
            unit: it is converted from; see `converted`.

        Raises:
            Refused: 422, another field had another value for the metric, or `unit_mismatch`.
        """
        double = converted(metric, double_of(value), unit, self._rules)
        if self.setdefault(metric, double) != double:
            raise _ambiguous(self._fields[metric], field, metric)
        self._fields.setdefault(metric, field)

    def batch(self, device: str, recorded_at_ms: int, request: Request) -> Batch:
        """The batch of one moment: several readings if the metrics are too many for one.

        Raises:
            Refused: 422.
        """
        batch = collect([(device, recorded_at_ms, self)], self._rules)
        batch.is_batch = batch.readings > 1
        batch.ignored = [*self.ignored]
        return identified(batch, device, request)


def collect(moments: Sequence[tuple[str, int, Mapping[str, float]]], rules: Rules) -> Batch:
    """The batch of several moments: device, time and metrics of each.

    Raises:
        Refused: 422, with the index of the moment.
    """
    blocks: list[tuple[int, Block]] = []
    for index, (name, recorded_at_ms, metrics) in enumerate(moments):
        rules.devices.check(name)
        items = [*metrics.items()]
        for first in range(0, max(len(items), 1), reading.METRICS_MAX):
            part = dict(items[first : first + reading.METRICS_MAX])
            validate.check_names(part, rules)
            doubles = {metric: validate.number(metric, v, rules) for metric, v in part.items()}
            blocks.append((index, Block(name, recorded_at_ms, {**doubles})))
    return rules.collect(blocks, is_batch=True)


def identified(batch: Batch, device: str, request: Request) -> Batch:
    """A batch with the idempotency key of its request, which is for one device and query string."""
    batch.idempotency_key = request.head.idempotency_key
    if batch.idempotency_key is not None:
        request.body = json.dumps([device, request.query]).encode() + request.body
    return batch


def _ambiguous(first: str, second: str, what: str) -> Refused:
    return Refused(
        f"{first!r:.80} and {second!r:.80} differ, and both are {what}; send one of them",
        status=422,
        code="ambiguous_field",
        field=second[:80],
    )
