"""Sensor Logger, the phone app by Kelvin Choi: its HTTP push.

    POST /sensor_data    {"messageId":0,"sessionId":"…","deviceId":"…","payload":[
                            {"name":"accelerometer","time":1698501144401773000,
                             "values":{"x":0.1,"y":0.2,"z":9.8},"accuracy":3}, …]}

Each sample is a reading of its own. Samples of one sensor have the same fields, so those of a
message become the columns of one block. The format is described in PUSHING.md of
https://github.com/tszheichoi/awesome-sensor-logger.
"""

from __future__ import annotations

from array import array
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ingest.batch import Batch
from ingest.doors import numbers, webhook
from ingest.doors.door import Door, Mount, Request
from ingest.doors.record import strict, validate
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.http.flask_app import HttpError
from tributary.http.response import Response
from tributary.model import catalogue
from tributary.model.frame import Block

_SUCCESS = Response(b'{"status":"success"}')
_TEST = "test"  # name of the first sample of a message that only tests the connection
_NANOSECONDS = 5_000_000_000_000_000  # of times from here on; see reading.time_ms
_NS_PER_MS = 1_000_000
_SHOWN_TO_USER = 499  # the app displays the text of this response
_TOKEN_CODES = frozenset(("unauthorized", "wrong_device", "wrong_scope"))
_PUSH_URL_RULE = "the push URL must end with /sensor_data/TOKEN, with a token of the server"
_decode = msgspec.json.Decoder().decode


class _Message(NamedTuple):
    device: str
    samples: list[dict[str, Any]]
    id: list[Any] | None  # what identifies it, if it has everything


class _Samples(NamedTuple):
    """Samples with the same sensor and fields; `indices` are their places in the request."""

    indices: list[int]
    times: list[Any]
    values: list[dict[str, Any]]


class SensorLoggerDoor(Door):
    """The app has no setting for header fields, so the token is in the path or the query string."""

    name = "sensor-logger"
    mounts = (
        Mount("/sensor_data", ("POST",), "token=[A-Za-z0-9_-]{1,100}"),
        Mount("/sensor_data/{token}"),
    )

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Convert one message, or an array of them."""
        try:
            given = _decode(request.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            given = strict.load(request.body)  # tolerates more, and has exact errors
        messages = [_message(item) for item in (given if isinstance(given, list) else [given])]
        samples = sum(len(message.samples) for message in messages)
        if samples:
            rules.check_size(samples)
        blocks: dict[int, list[Block]] = {}
        order: list[NDArray[np.int64]] = []
        first = 0
        for message in messages:
            for block, indices in _blocks(message, first, arrived_ms, rules):
                blocks.setdefault(rules.devices[message.device], []).append(block)
                order.append(indices)
            first += len(message.samples)
        stored = np.concatenate(order) if order else ()
        batch = Batch(blocks, len(stored), is_batch=True, order=stored)
        batch.idempotency_key = request.head.idempotency_key or _key(messages)
        return batch

    def ok(self, batch: Batch) -> Response:
        """What the app's own example servers respond with."""
        return _SUCCESS

    def error(self, error: HttpError) -> Response:
        """The standard error body; for a problem with the token, a text for the phone's user."""
        if error.code not in _TOKEN_CODES:
            return super().error(error)
        problem = "unknown or missing token" if error.code == "unauthorized" else error.message
        text = f"Tributary: {problem}; {_PUSH_URL_RULE}"
        return Response(text.encode(), _SHOWN_TO_USER, "text/plain; charset=utf-8")


def _message(item: Any) -> _Message:
    if not isinstance(item, dict):
        raise _wrong_shape(f"a JSON {validate.kind(item)} is not a message")
    if ("payload" in item) == ("sensors" in item):
        count = "both" if "payload" in item else "neither"
        raise _wrong_shape(f"the message has {count} of 'payload' and 'sensors'")
    samples = item["payload"] if "payload" in item else item["sensors"]
    if not isinstance(samples, list):
        raise _wrong_shape(f"the payload is a JSON {validate.kind(samples)}, not an array")
    if samples and isinstance(samples[0], dict) and samples[0].get("name") == _TEST:
        return _Message("", [], None)
    device = webhook.device(item, "deviceId")
    return _Message(device, samples, _id(device, item))


def _id(device: str, item: dict[str, Any]) -> list[Any] | None:
    session, number = item.get("sessionId"), item.get("messageId")
    is_complete = isinstance(session, str) and isinstance(number, int | str)
    return [device, session, str(number)] if is_complete else None


def _key(messages: list[_Message]) -> str | None:
    """The idempotency key: of device, session and number of every message, in their order."""
    ids = [message.id for message in messages if message.samples]
    if not ids or None in ids:
        return None
    return webhook.idempotency_key("sensor-logger", ids)


def _blocks(
    message: _Message, first: int, arrived_ms: int, rules: Rules
) -> list[tuple[Block, NDArray[np.int64]]]:
    """The readings of a message, a block per sensor and set of fields, with their indices.

    Args:
        message: of one device.
        first: index of its first sample in the request.
        arrived_ms: the time of arrival, UTC.
        rules: limits and names of the deployment.

    Raises:
        Refused: 400 or 422.
    """
    if not message.samples:
        return []
    rules.devices.check(message.device)
    found = []
    for (sensor, *fields), samples in _grouped(message.samples, first).items():
        if not fields:
            continue
        columns = _columns(samples)
        groups = _numeric(samples) if columns is None else {tuple(fields): (samples, columns)}
        for names, (each, values) in groups.items():
            metrics = _checked(_metrics(sensor, names), values, each.indices, rules)
            times_ms = _times_ms(each, arrived_ms, rules)
            block = Block(message.device, times_ms.tobytes(), metrics)
            found.append((block, np.array(each.indices)))
    return found


def _grouped(samples: list[dict[str, Any]], first: int) -> dict[tuple[str, ...], _Samples]:
    """Samples by sensor and fields."""
    groups: dict[tuple[str, ...], _Samples] = {}
    for index, sample in enumerate(samples, first):
        try:
            time, values = sample["time"], sample["values"]
            key = (sample["name"], *values)
            group = groups.get(key)
        except (TypeError, KeyError):
            group = values = key = None
        if type(values) is not dict or key is None or type(key[0]) is not str:
            raise _wrong_shape("a sample needs a name, a time and an object of values", index)
        if group is None:
            group = groups[key] = _Samples([], [], [])
        group.indices.append(index)
        group.times.append(time)
        group.values.append(values)
    return groups


def _columns(samples: _Samples) -> list[array[float]] | None:
    """The values of each field; None if one of them is not a number."""
    columns = zip(*[values.values() for values in samples.values], strict=True)
    try:
        return [array("d", column) for column in columns]
    except (TypeError, OverflowError):
        return None


def _numeric(samples: _Samples) -> dict[tuple[str, ...], tuple[_Samples, list[Any]]]:
    """Samples by those of their fields that are numbers; the rest is left out."""
    rows: dict[tuple[str, ...], tuple[_Samples, list[tuple[float, ...]]]] = {}
    for index, time, values in zip(*samples, strict=True):
        metrics = numbers.flatten(values).metrics
        if not metrics:
            continue
        group, floats = rows.setdefault(tuple(metrics), (_Samples([], [], []), []))
        group.indices.append(index)
        group.times.append(time)
        floats.append(tuple(metrics.values()))
    return {names: (group, [*zip(*floats, strict=True)]) for names, (group, floats) in rows.items()}


@lru_cache(maxsize=1024)
def _metrics(sensor: str, fields: tuple[str, ...]) -> tuple[str, ...]:
    """The metric of each field: `accelerometer.x`."""
    return tuple(numbers.metric_name(f"{sensor}.{field}") for field in fields)


def _checked(
    metrics: tuple[str, ...], columns: list[Any], indices: list[int], rules: Rules
) -> dict[str, float | bytes]:
    """The packed columns by metric."""
    packed = dict(zip(metrics, columns, strict=True))
    if len(packed) != len(metrics):
        twice = next(name for name in metrics if metrics.count(name) > 1)
        raise Refused(
            f"two fields of a sample become the metric {twice!r:.80}; rename one",
            status=422,
            code="ambiguous_field",
            field=twice[:80],
        )
    try:
        validate.check_names(packed, rules)
    except Refused as refusal:
        refusal.index = indices[0]
        raise
    return {name: _packed(name, column, indices, rules) for name, column in packed.items()}


def _packed(metric: str, column: Any, indices: list[int], rules: Rules) -> bytes:
    try:
        doubles = np.array(column, np.float64)
        is_valid = bool(np.isfinite(doubles).all())
    except OverflowError:
        is_valid = False
    if is_valid and rules.ranges:
        is_valid = catalogue.is_plausible_column(metric, doubles, rules.ranges)
    if is_valid:
        return doubles.tobytes()
    return array("d", _each(column, indices, lambda v: validate.number(metric, v, rules))).tobytes()


def _times_ms(samples: _Samples, arrived_ms: int, rules: Rules) -> NDArray[np.int64]:
    """Times in UTC milliseconds; those of the app are nanoseconds, and never become a float."""

    def time_ms(given: Any) -> int:
        return validate.time_ms(given, arrived_ms, rules, "time")

    try:
        times = np.frombuffer(array("q", samples.times), np.int64)
    except (TypeError, OverflowError):
        times = np.zeros(0, np.int64)
    if len(times) and times.min() >= _NANOSECONDS:
        # If the first and the last are in range, all are.
        ends = [int(times.argmin()), int(times.argmax())]
        _each([int(times[i]) for i in ends], [samples.indices[i] for i in ends], time_ms)
        return times // _NS_PER_MS
    return np.array(_each(samples.times, samples.indices, time_ms), np.int64)


def _each(given: Any, indices: list[int], convert: Any) -> list[Any]:
    """Convert one by one, so that an error has the index of its sample."""
    converted = []
    for value, index in zip(given, indices, strict=True):
        try:
            converted.append(convert(value))
        except Refused as refusal:
            refusal.index = index
            raise
    return converted


def _wrong_shape(problem: str, index: int | None = None) -> Refused:
    return Refused(
        f'{problem}; send {{"deviceId":…,"payload":[{{"name":…,"time":…,"values":{{…}}}}]}}',
        status=400,
        code="wrong_shape",
        index=index,
    )
