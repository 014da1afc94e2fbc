"""Bodies whose lines are all alike, as columns.

A body is uniform if its separators are those of its first line, repeated. Then splitting at
spaces yields head, fields and timestamp of each line in turn, and a column is a JSON array once the
names are removed. Whatever does not decode is left to the parser of lines.
"""

from __future__ import annotations

import re
import struct
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ingest import columns
from ingest.batch import Batch
from ingest.doors.influx.cache import head_of, metrics_of
from ingest.doors.influx.line import Head
from ingest.doors.influx.times import Context
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.model import catalogue, reading
from tributary.model.frame import Block

_Int64s = NDArray[np.int64]
_Doubles = NDArray[np.float64]

_SEPARATORS = b' ,=\n"\\#\t\r\0'
_OTHERS = bytes(set(range(256)) - set(_SEPARATORS))
_LINE = re.compile(rb"(?:,=)*( =(?:,=)*)( ?)")
_decode_floats = msgspec.json.Decoder(list[float]).decode
_decode_integers = msgspec.json.Decoder(list[int]).decode


class _Uncertain(Exception):
    """The body is not uniform, or may be invalid."""


def parse(body: bytes, context: Context) -> Batch | None:
    """Convert a uniform body; None if it is not one, or may be invalid.

    Raises:
        Refused: 413.
    """
    rules = context.rules
    text = body[:-1] if body.endswith(b"\n") else body
    size = text.count(b"\n") + 1
    line = text[: text.find(b"\n")].translate(None, _OTHERS)
    match = _LINE.fullmatch(line)
    if match is None or text.translate(None, _OTHERS) + b"\n" != (line + b"\n") * size:
        return None
    rules.check_size(size)
    tokens = text.replace(b"\n", b" ").split(b" ")
    step = 2 + len(match[2])
    times_ms = np.full(size, context.arrived_ms, np.int64)
    try:
        heads = _heads(tokens[0::step], rules)
        values = _columns(tokens[1::step], len(match[1]) // 2, heads[0].measurement, rules)
        if match[2]:
            times_ms = _times_ms(tokens[2::step], context)
    except (_Uncertain, Refused, ValueError, OverflowError, msgspec.MsgspecError, struct.error):
        return None
    return _batch(heads, times_ms, values)


def _heads(given: list[bytes], rules: Rules) -> list[Head]:
    found: list[Any] = list(map(rules.heads.get, given))
    heads: list[Head] = found
    if None in found:
        heads = [head_of(head, rules) for head in given]
    measurements = [head[2] for head in heads]
    if measurements.count(measurements[0]) != len(measurements):
        raise _Uncertain
    return heads


def _columns(given: list[bytes], width: int, measurement: str, rules: Rules) -> dict[str, _Doubles]:
    """The values of each metric."""
    names = tuple(field.partition(b"=")[0] for field in given[0].split(b","))
    metrics = metrics_of(measurement, names, rules)
    if width > reading.METRICS_MAX:
        raise _Uncertain
    flat = given if width == 1 else b",".join(given).split(b",")
    values = {}
    for number, (metric, name) in enumerate(zip(metrics, names, strict=True)):
        column = values[metric] = _column(name, flat[number::width], len(given))
        if not catalogue.is_plausible_column(metric, column, rules.ranges):
            raise _Uncertain
    return values


def _column(name: bytes, fields: list[bytes], size: int) -> _Doubles:
    """The numbers of `name=number`; a field of another name is not JSON."""
    if not name:
        raise _Uncertain
    text = b",%b," % b",".join(fields)
    array = text.replace(b",%b=" % name, b",")
    if fields[0].endswith(b"i"):
        integers = _decode_integers(b"[%b]" % array.replace(b"i,", b",")[1:-1])
        return np.frombuffer(struct.pack(f"{size}q", *integers), np.int64).astype(np.float64)
    return np.frombuffer(struct.pack(f"{size}d", *_decode_floats(b"[%b]" % array[1:-1])))


def _times_ms(given: list[bytes], context: Context) -> _Int64s:
    precision, arrived_ms, rules = context
    timestamps = _decode_integers(b"[%b]" % b",".join(given))
    packed = np.frombuffer(struct.pack(f"{len(given)}q", *timestamps), np.int64)
    earliest, latest = int(packed.min()), int(packed.max())
    of_all = precision.of_all(earliest, latest)
    if of_all is None:
        raise _Uncertain
    of_all.checked_ms(earliest, arrived_ms, rules)
    of_all.checked_ms(latest, arrived_ms, rules)  # so none of the products overflows
    return packed * of_all.factor if of_all.divisor == 1 else packed // of_all.divisor


def _batch(heads: list[Head], times_ms: _Int64s, values: dict[str, _Doubles]) -> Batch:
    first, size = heads[0], len(heads)
    if heads.count(first) == size:
        packed: dict[str, float | bytes] = {name: v.tobytes() for name, v in values.items()}
        return Batch({first[1]: [Block(first[0], times_ms.tobytes(), packed)]}, size, is_batch=True)
    devices = [head[0] for head in heads]
    partitions = np.fromiter([head[1] for head in heads], np.int16, size)
    parts = columns.by_partition(devices, partitions, times_ms, values)
    return Batch(
        {part.partition: [part.block] for part in parts},
        size,
        is_batch=True,
        order=np.concatenate([part.order for part in parts]),
    )
