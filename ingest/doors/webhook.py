"""What the doors for messages of other systems have in common.

Such a message is a JSON object that contains a device, a time and an object of values, which people
name in the other system. A sender cannot correct a message, so names that are not valid metric
names are changed by a rule instead of rejected.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from ingest.batch import Batch
from ingest.doors import numbers
from ingest.doors.door import Request
from ingest.doors.numbers import Numbers
from ingest.doors.record import strict, validate
from ingest.doors.record.item import Ignored
from ingest.limits import Rules, invalid_device
from tributary.errors import Refused
from tributary.model import reading
from tributary.model.frame import Block

LANE_QUERY = "token=[A-Za-z0-9_-]{1,100}"  # token of clients that send no header fields
METRIC_NAME_MAX = 64


def load(body: bytes, sender: str) -> dict[str, Any]:
    """The message in a body; `sender` is the name of the other system.

    Raises:
        Refused: 400, it is not a JSON object.
    """
    item = strict.load(body)
    if isinstance(item, dict):
        return item
    raise wrong_shape(f"a JSON {validate.kind(item)} is not a message of {sender}")


def find(item: Any, path: str) -> Any:
    """The member at a path of names (`uplink_message.received_at`); None if there is none."""
    for name in path.split("."):
        item = item.get(name) if isinstance(item, dict) else None
    return item


def device(item: dict[str, Any], path: str) -> str:
    """The device at a path: text, or a whole number.

    Raises:
        Refused: 422, it is missing or neither.
    """
    given = find(item, path)
    if given is None:
        raise missing_device(f"the message has no {path}; send the name of the device in it", path)
    if isinstance(given, int) and not isinstance(given, bool) and abs(given) < 10**40:
        given = str(given)
    if not isinstance(given, str):
        raise invalid_device(given)
    return given


def metrics(item: Any, *, keeps_reserved: bool = False) -> Numbers:
    """The numbers of an object by metric; other characters of a name become `_`.

    Args:
        item: may be nested; without values if it is not an object.
        keeps_reserved: whether names that a metric must not have (`device`, `recorded_at`) are
            returned, so that they are rejected, instead of left out.

    Raises:
        Refused: 422, two of them have the same metric.
    """
    found: dict[str, float] = {}
    given = numbers.flatten(item if isinstance(item, dict) else {})
    for name, value in given.metrics.items():
        metric = numbers.metric_name(name)
        is_reserved = len(metric) <= METRIC_NAME_MAX and not reading.is_metric(metric)
        if is_reserved and not keeps_reserved:
            given.ignored.append(name)
            continue
        if metric in found:
            raise Refused(
                f"two values become the metric {metric!r:.80}; rename one",
                status=422,
                code="ambiguous_field",
                field=metric[:80],
            )
        found[metric] = value
    return Numbers(found, given.ignored)


def best_gateway(gateways: Any) -> dict[str, float]:
    """`rssi` and `snr` of the gateway with the strongest signal; empty if none has an `rssi`."""
    best: dict[str, float] = {}
    for gateway in gateways if isinstance(gateways, list) else ():
        found = {name: numbers.of(find(gateway, name)) for name in ("rssi", "snr")}
        rssi = found["rssi"]
        if rssi is not None and rssi > best.get("rssi", -float("inf")):
            best = {name: value for name, value in found.items() if value is not None}
    return best


def nothing() -> Batch:
    """The batch of a message that is accepted and not stored."""
    return Batch({}, 0, is_batch=False)


def batch(
    block: Block, ignored: Iterable[str], key: str | None, request: Request, rules: Rules
) -> Batch:
    """A batch of one reading; a key in the header takes precedence over `key`."""
    found = rules.collect([(0, block)], is_batch=False)
    found.ignored = names(ignored)
    found.idempotency_key = request.head.idempotency_key or key
    return found


def names(ignored: Iterable[str]) -> list[str]:
    """The names of what was not stored, as many as a response contains."""
    found = Ignored()
    found.add(ignored)
    return [*found]


def for_device(device: str, found: Batch, request: Request) -> Batch:
    """A batch whose device is not in the body: a key is for one body and one device."""
    found.idempotency_key = request.head.idempotency_key
    if found.idempotency_key is not None:
        request.body = device.encode() + b"\n" + request.body
    return found


def idempotency_key(door: str, ids: list[Any]) -> str:
    """The key of a message with these ids."""
    digest = hashlib.blake2b(json.dumps(ids).encode(), digest_size=16).hexdigest()
    return f"{door}-{digest}"


def missing_device(message: str, field: str) -> Refused:
    """422 for a message without a device."""
    return Refused(message, status=422, code="missing_device", field=field)


def wrong_shape(problem: str) -> Refused:
    """400 for a body that is not a message of the other system."""
    return Refused(
        f"{problem}; readings in other formats go to POST /record", status=400, code="wrong_shape"
    )
