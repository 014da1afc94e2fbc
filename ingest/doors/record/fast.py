"""A fast parser of JSON for bodies that are certainly valid; `strict` parses all others.

Three things make it fast: msgspec decodes into typed values (a string, a bool or 1e999 among
the numbers fails in C), names are looked up in caches, and a batch of equal readings becomes
one column per partition without a Python object per value.
"""

from __future__ import annotations

from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np

from ingest import columns
from ingest.batch import Batch
from ingest.doors.record import fast_times, strict
from ingest.doors.record.fast_times import Int64s, Uncertain, pack_doubles
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.model import catalogue, reading
from tributary.model.frame import Block

_Column = list[float | str]
_decode_object = msgspec.json.Decoder(dict[str, float | str | _Column]).decode
_OTHERS = frozenset(("device", "recorded_at"))  # every other reserved name is for `strict`
_COLON, _BACKSLASH = b":\\"
_LONG_BYTES = 1_000


UNCERTAIN = (Uncertain, Refused, msgspec.MsgspecError, ValueError, TypeError, OverflowError)


def parse(
    body: bytes, arrived_ms: int, rules: Rules, rejected: list[Refused] | None = None
) -> Batch:
    """Parse like `strict.parse`, but faster.

    Raises:
        Refused: like `strict.parse`.
    """
    try:
        return attempt(body, arrived_ms, rules)
    except UNCERTAIN:
        return strict.parse(body, arrived_ms, rules, rejected)


def attempt(body: bytes, arrived_ms: int, rules: Rules) -> Batch:
    """Parse a body that is certainly valid.

    Raises:
        UNCERTAIN: it may be invalid, or valid in a way that only `strict` knows.
    """
    if body[:1] == b"[":
        return _batch(body, arrived_ms, rules)
    found = single(body, arrived_ms, rules)
    if isinstance(found, Batch):
        return found
    partition, block, is_known = found
    return Batch({partition: [block]}, 1, False, is_known)


def single(body: bytes, arrived_ms: int, rules: Rules) -> tuple[int, Block, bool] | Batch:
    """The partition of a reading, the reading, and whether its series were counted before.

    Args:
        body: a JSON object.
        arrived_ms: the time of a reading that contains none.
        rules: of the deployment.

    Returns:
        A batch if the body has columns.

    Raises:
        UNCERTAIN: like `attempt`.
    """
    metrics: dict[str, Any] = _decode_object(body)
    names = len(metrics)
    device = metrics.pop("device", reading.DEFAULT_DEVICE)
    recorded_at = metrics.pop("recorded_at", None)
    # With more colons than names, a name is repeated or a string contains a colon.
    is_certain = len(body) <= _LONG_BYTES and body.count(b":") == names
    if not is_certain and not _has_names(body, names, recorded_at):
        raise Uncertain
    known = rules.seen.get((device, *metrics))  # one lookup for all names of most readings
    if known is None:
        if not metrics or len(metrics) > reading.METRICS_MAX or type(device) is not str:
            raise Uncertain
        rules.metrics.check(metrics)
    for value in metrics.values():
        if type(value) is not float:
            if type(value) is list:
                return _columns(body, (device, recorded_at, metrics), arrived_ms, rules)
            raise Uncertain
    if rules.ranges and not catalogue.is_plausible(metrics, rules.ranges):
        raise Uncertain
    time_ms = arrived_ms
    if recorded_at is not None:
        time_ms = fast_times.time_ms(recorded_at, body, arrived_ms, rules)
    partition = rules.devices[device] if known is None else known
    return partition, Block(device, time_ms, metrics), known is not None


def _columns(
    body: bytes, item: tuple[str, Any, dict[str, Any]], arrived_ms: int, rules: Rules
) -> Batch:
    device, recorded_at, columns = item
    readings = len(recorded_at if type(recorded_at) is list else next(iter(columns.values())))
    rules.check_size(readings)
    packed: dict[str, float | bytes] = {}
    for name, column in columns.items():
        if type(column) is not list or len(column) != readings:
            raise Uncertain
        packed[name] = doubles = pack_doubles(column)
        if rules.ranges:
            _check_plausible(name, doubles, rules)
    if recorded_at is None:
        times_ms = np.full(readings, arrived_ms, np.int64)
    elif type(recorded_at) is list:
        times_ms = fast_times.float_times_ms(recorded_at, body, arrived_ms, rules)
    else:
        raise Uncertain
    block = Block(device, times_ms.tobytes(), packed)
    return Batch({rules.devices[device]: [block]}, readings, True)


def _batch(body: bytes, arrived_ms: int, rules: Rules) -> Batch:
    names = tuple(_decode_object(body[1 : body.find(b"}") + 1]))  # of the first reading
    metrics = dict.fromkeys(name for name in names if name not in _OTHERS)
    if not 0 < len(metrics) <= reading.METRICS_MAX:
        raise Uncertain
    rules.metrics.check(metrics)
    readings = _decoder(names)(body)
    rules.check_size(len(readings))
    columns = {name: _column(readings, i) for i, name in enumerate(names)}
    times = columns.get("recorded_at", [None])
    time = "".join(times) if type(times[0]) is str else None
    if not _has_names(body, len(readings) * len(names), time):
        raise Uncertain
    devices = columns.pop("device", [reading.DEFAULT_DEVICE])
    if "recorded_at" in columns:
        times_ms = fast_times.times_ms(columns.pop("recorded_at"), body, arrived_ms, rules)
    else:
        times_ms = np.full(len(readings), arrived_ms, np.int64)
    packed = {name: pack_doubles(column) for name, column in columns.items()}
    if rules.ranges:
        for name, doubles in packed.items():
            _check_plausible(name, doubles, rules)
    if devices[0] == devices[-1] and devices.count(devices[0]) == len(devices):
        block = Block(devices[0], times_ms.tobytes(), {**packed})
        return Batch({rules.devices[devices[0]]: [block]}, len(readings), True)
    return _partitioned(devices, times_ms, packed, rules)


def _has_names(body: bytes, names: int, time: Any = None) -> bool:
    """Whether the body has exactly this number of names, including repeated ones.

    Outside of strings, each colon follows a name. If strings other than `time` contain colons,
    count those that follow a quote; whitespace before a colon makes the result False.
    """
    if len(body) > _LONG_BYTES:  # numpy is five times as fast
        colons = int(np.count_nonzero(np.frombuffer(body, np.uint8) == _COLON))
    else:
        colons = body.count(b":")
    if colons == names:
        return True
    if type(time) is str and _BACKSLASH not in body and colons == names + time.count(":"):
        return True
    return body.count(b'":') == names and not any(
        blank in body and bytes((blank, _COLON)) in body for blank in b" \t\n\r"
    )


def _column(readings: list[Any], number: int) -> list[Any]:
    """One field of every reading; an attribute in the code takes half the time of attrgetter."""
    if number == 0:
        return [r.f0 for r in readings]
    if number == 1:
        return [r.f1 for r in readings]
    if number == 2:
        return [r.f2 for r in readings]
    return list(map(attrgetter(f"f{number}"), readings))


def _check_plausible(name: str, doubles: bytes, rules: Rules) -> None:
    if not catalogue.is_plausible_column(name, np.frombuffer(doubles), rules.ranges):
        raise Uncertain


def _partitioned(
    devices: list[str], times_ms: Int64s, packed: dict[str, bytes], rules: Rules
) -> Batch:
    partitions = np.fromiter(map(rules.devices.__getitem__, devices), np.int16, len(devices))
    values = {name: np.frombuffer(column) for name, column in packed.items()}
    parts = columns.by_partition(devices, partitions, times_ms, values)
    blocks = {part.partition: [part.block] for part in parts}
    return Batch(blocks, len(devices), True, order=np.concatenate([part.order for part in parts]))


@lru_cache(maxsize=256)
def _decoder(names: tuple[str, ...]) -> Any:
    """A decoder of arrays in which every reading has exactly these names."""
    types: dict[str, Any] = {"device": str, "recorded_at": int | float | str}
    # Numbered fields: attrgetter would follow a dot in the name of a metric.
    struct = msgspec.defstruct(
        "Reading",
        [(f"f{i}", types.get(name, float)) for i, name in enumerate(names)],
        rename={f"f{i}": name for i, name in enumerate(names)},
        forbid_unknown_fields=True,
        gc=False,
    )
    return msgspec.json.Decoder(list[struct]).decode  # type: ignore[valid-type]
