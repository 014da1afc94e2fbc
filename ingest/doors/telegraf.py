"""Telegraf's HTTP output with `data_format = "json"`.

    POST /record/telegraf   {"metrics":[{"name":"cpu","tags":{"host":"pi-1"},
                              "fields":{"usage_idle":97.5},"timestamp":1767225600}, …]}

With `use_batch_format = false` the body is one metric. Devices and metrics are those of the line
protocol. Format: plugins/serializers/json/README.md of https://github.com/influxdata/telegraf.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.batch import Batch
from ingest.doors import numbers
from ingest.doors.door import Door, Mount, Request, skips_errors
from ingest.doors.influx import names
from ingest.doors.influx.groups import Groups
from ingest.doors.influx.line import Head
from ingest.doors.record import json_text, responses, validate
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.http.response import Response

_STORED = Response(b"", 204)
_decode = msgspec.json.Decoder().decode


class TelegrafDoor(Door):
    """204; with `on_error=skip`, good metrics are stored and bad ones are listed in a 200."""

    name = "telegraf"
    mounts = (Mount("/record/telegraf", ("POST",), "(?:on_error=skip|token=[A-Za-z0-9_-]{1,100})"),)

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Convert one metric or a batch of them."""
        given = _metrics(request.body)
        if given:
            rules.check_size(len(given))
        rejected: list[Refused] | None = [] if skips_errors(request.query) else None
        groups, texts = Groups(), 0
        for index, metric in enumerate(given):
            try:
                texts += _add(groups, index, metric, arrived_ms, rules)
            except Refused as refusal:
                refusal.index = index
                if rejected is None:
                    raise
                rejected.append(refusal)
        batch = groups.batch()
        batch.rejected = rejected
        batch.texts = texts
        batch.idempotency_key = request.head.idempotency_key
        return batch

    def ok(self, batch: Batch) -> Response:
        """204, or the list of what was left out."""
        return responses.ok(batch) if batch.rejected else _STORED

    def duplicate(self, body: bytes) -> Response:
        """The first response again."""
        return Response(body) if body else _STORED


def _metrics(body: bytes) -> list[Any]:
    try:
        given = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        given = json_text.load(body)  # has exact errors
    if isinstance(given, dict) and isinstance(given.get("metrics"), list):
        metrics: list[Any] = given["metrics"]
        return metrics
    if isinstance(given, dict) and "fields" in given:
        return [given]
    raise _wrong_shape(f"a JSON {validate.kind(given)} without metrics is not what Telegraf sends")


def _add(groups: Groups, index: int, metric: Any, arrived_ms: int, rules: Rules) -> int:
    """Add a metric to its group; the number of its fields that are text."""
    name, tags, fields = _parts(metric)
    try:
        device = names.device(tags)
    except ValueError as error:
        raise Refused(str(error), status=422, code="invalid_device", field="tags") from None
    found, ignored = numbers.flatten(fields)
    metrics = tuple(names.metric(name, field) for field in found)
    if len(set(metrics)) < len(metrics):
        twice = next(each for each in metrics if metrics.count(each) > 1)
        raise Refused(
            f"two fields become the metric {twice!r:.80}; rename one",
            status=422,
            code="ambiguous_field",
            field=twice[:80],
        )
    rules.metrics.check(metrics)
    values = [
        validate.number(each, value, rules)
        for each, value in zip(metrics, found.values(), strict=True)
    ]
    time_ms = arrived_ms
    if metric.get("timestamp") is not None:
        time_ms = validate.time_ms(metric["timestamp"], arrived_ms, rules)
    head = Head(device, rules.devices[device], name)
    if metrics:
        groups.add(index, head, metrics, time_ms, values)
    return len(ignored)


def _parts(metric: Any) -> tuple[str, dict[str, str], dict[str, Any]]:
    if not isinstance(metric, dict):
        raise _wrong_shape(f"a JSON {validate.kind(metric)} is not a metric")
    name, tags, fields = metric.get("name"), metric.get("tags", {}), metric.get("fields")
    if not isinstance(name, str) or not name:
        raise _wrong_shape("a metric has no name")
    if not isinstance(fields, dict):
        raise _wrong_shape(f"the fields of {name!r:.80} are not an object")
    if not isinstance(tags, dict) or not all(isinstance(tag, str) for tag in tags.values()):
        raise _wrong_shape(f"the tags of {name!r:.80} are not an object of text")
    return name, tags, fields


def _wrong_shape(problem: str) -> Refused:
    return Refused(
        f'{problem}; send {{"metrics":[{{"name":…,"tags":{{…}},"fields":{{…}},"timestamp":…}}]}}',
        status=400,
        code="wrong_shape",
    )
