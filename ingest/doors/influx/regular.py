"""Bodies of plain lines, as columns.

In most bodies every line consists of head, fields and, in all lines or in none, a timestamp, with
single spaces between them and neither strings nor escapes. Splitting such a body at its spaces
yields the three in turn. Lines of the same measurement and fields are a group, and a column of a
group is a JSON array once the name of the field is removed from it. Whatever does not decode is
left to the parser of lines.
"""

from __future__ import annotations

import itertools
import struct
from functools import partial
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ingest.batch import Batch
from ingest.doors.influx.cache import Heads, head_of, heads_of, metrics_of
from ingest.doors.influx.times import AUTO, Context, Precision
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.model import catalogue, reading
from tributary.model.frame import Block

_Int64s = NDArray[np.int64]
_Doubles = NDArray[np.float64]

LINES_MIN = 8  # columns of fewer lines take longer than lines
_GROUP_MIN = 4  # lines on average
# Everything that may not be in a plain line, and what separates its parts.
_NOT_BLANKS = bytes(set(range(256)) - set(b' \n"\\#\t\r\v\f\0'))
_NUMERIC = b"0123456789.-+eE"
_ZERO = ord("0")
_COMMA = np.uint8(256 + ord(",") - _ZERO)  # minus the zero, as an unsigned byte
_DIGITS_MAX = 15  # of milliseconds, or of longer units
_POWERS = 10.0 ** np.arange(_DIGITS_MAX - 1, -1, -1)
_decode_floats = msgspec.json.Decoder(list[float]).decode
_decode_integers = msgspec.json.Decoder(list[int]).decode


class _Uncertain(Exception):
    """The body is not regular, or may be invalid."""


class _Group(NamedTuple):
    """Lines `begin` to `end`, of which each part is of one partition: its begin and number."""

    begin: int
    end: int
    parts: list[tuple[int, int]]


class _Grouped(NamedTuple):
    """Lines in the order of their groups and, within one, partitions."""

    order: NDArray[np.intp]
    groups: list[_Group]


def parse(body: bytes, context: Context) -> Batch | None:
    """Convert a body of plain lines; None if it is another one, or may be invalid.

    Raises:
        Refused: 413.
    """
    text = body[:-1] if body.endswith(b"\n") else body
    blanks = text.translate(None, _NOT_BLANKS) + b"\n"
    line = blanks[: blanks.find(b"\n") + 1]
    size = len(blanks) // len(line)
    if line not in (b" \n", b"  \n") or size < LINES_MIN or blanks != line * size:
        return None
    context.rules.check_size(size)
    try:
        return _convert(text.split(), len(line), size, context)
    except (_Uncertain, Refused, ValueError, OverflowError, msgspec.MsgspecError, struct.error):
        return None


def _convert(tokens: list[bytes], step: int, size: int, context: Context) -> Batch:
    if len(tokens) != step * size:  # a part is empty
        raise _Uncertain
    rules = context.rules
    heads, numbers = _heads(tokens[0::step], rules)
    if step == 3:
        times_ms = _times_ms(tokens[2::step], context)
    else:
        times_ms = np.full(len(numbers), context.arrived_ms, np.int64)
    grouped, measured = _measured(heads, numbers, tokens[1::step], rules)
    devices = heads.devices[numbers[grouped.order]].tolist()
    times = times_ms[grouped.order].tobytes()
    batch = _batch(grouped, devices, times, measured)
    series = [
        (tuple(columns), numbers[grouped.order[group.begin : group.end]])
        for group, columns in zip(grouped.groups, measured, strict=True)
    ]
    batch.is_known = all(heads.are_known(*each) for each in series)
    batch.remember = partial(heads.remember, series)
    return batch


def _measured(
    heads: Heads, numbers: NDArray[np.intp], fields: list[bytes], rules: Rules
) -> tuple[_Grouped, list[dict[str, bytes]]]:
    """The groups, and the packed values of each metric of each group, in their order."""
    grouped = _grouped(heads, numbers, fields)
    order, groups = grouped
    if len(groups) == 1:
        columns = _columns(fields, heads.all[numbers[0]].measurement, rules)
        return grouped, [{k: np.frombuffer(v)[order].tobytes() for k, v in columns.items()}]
    ordered = [fields[i] for i in order.tolist()]
    measured = [
        _columns(ordered[begin:end], heads.all[numbers[order[begin]]].measurement, rules)
        for begin, end, _ in groups
    ]
    if len(set().union(*measured)) < sum(map(len, measured)):
        raise _Uncertain  # the order of the values of a series would be lost
    return grouped, measured


def _heads(given: list[bytes], rules: Rules) -> tuple[Heads, NDArray[np.intp]]:
    """The number of each head in the cache."""
    heads = heads_of(rules)
    try:
        return heads, np.fromiter(map(heads.numbers.__getitem__, given), np.intp, len(given))
    except KeyError:
        for head in given:
            head_of(head, rules)
    heads = heads_of(rules)
    if not heads.numbers.keys() >= set(given):  # too long, or too many
        raise _Uncertain
    return heads, np.fromiter(map(heads.numbers.__getitem__, given), np.intp, len(given))


def _grouped(heads: Heads, numbers: NDArray[np.intp], fields: list[bytes]) -> _Grouped:
    """Group lines by measurement and names of fields."""
    measurements = heads.measurements[numbers]
    keys = partitions = heads.partitions[numbers]
    count = int(partitions.max()) + 1
    if b"," in fields[0] or bool((measurements != measurements[0]).any()):
        # Without digits, equal names look equal; names that differ in digits only do not decode.
        kinds = b" ".join(fields).translate(None, _NUMERIC).split(b" ")
        known = dict(zip(set(kinds), itertools.count(), strict=False))
        kind_numbers = np.fromiter(map(known.__getitem__, kinds), np.int64, len(kinds))
        keys = (measurements * len(known) + kind_numbers) * count + partitions
        if keys.max() <= np.iinfo(np.int16).max:
            keys = keys.astype(np.int16)  # a radix sort
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    begins = [0, *(np.flatnonzero(keys[1:] != keys[:-1]) + 1).tolist()]
    groups: list[_Group] = []
    last = -1
    for begin, key in zip(begins, keys[begins].tolist(), strict=True):
        kind, partition = divmod(key, count)
        if kind != last:
            groups.append(_Group(begin, begin, []))
            last = kind
        groups[-1].parts.append((begin, partition))
    ends = [*(group.begin for group in groups[1:]), len(fields)]
    if len(groups) * _GROUP_MIN > len(fields):
        raise _Uncertain
    return _Grouped(
        order, [group._replace(end=end) for group, end in zip(groups, ends, strict=True)]
    )


def _columns(fields: list[bytes], measurement: str, rules: Rules) -> dict[str, bytes]:
    """The packed values of each metric of a group."""
    names = tuple(field.partition(b"=")[0] for field in fields[0].split(b","))
    width = len(names)
    if width > reading.METRICS_MAX:
        raise _Uncertain
    metrics = metrics_of(measurement, names, rules)
    flat = fields if width == 1 else b",".join(fields).split(b",")
    packed = {}
    for number, (metric, name) in enumerate(zip(metrics, names, strict=True)):
        column = _column(name, flat[number::width], len(fields))
        if rules.ranges and not catalogue.is_plausible_column(
            metric, np.frombuffer(column), rules.ranges
        ):
            raise _Uncertain
        packed[metric] = column
    return packed


def _column(name: bytes, fields: list[bytes], size: int) -> bytes:
    """The numbers of `name=number`; a field of another name is not JSON."""
    if not name:
        raise _Uncertain
    array = (b",%b," % b",".join(fields)).replace(b",%b=" % name, b",")
    if fields[0].endswith(b"i"):
        integers = _decode_integers(b"[%b]" % array.replace(b"i,", b",")[1:-1])
        as_int64 = np.frombuffer(struct.pack(f"{size}q", *integers), np.int64)
        return as_int64.astype(np.float64).tobytes()
    return struct.pack(f"{size}d", *_decode_floats(b"[%b]" % array[1:-1]))


def _times_ms(given: list[bytes], context: Context) -> _Int64s:
    """Timestamps with the same number of digits, as nearly all have since 2001.

    Fast code: their digits are a matrix. Its product with the powers of ten is exact, because so
    many digits of milliseconds are below 2 ** 53.
    """
    precision, arrived_ms, rules = context
    width = len(given[0])
    of_all: Precision | None = precision
    if precision.name == AUTO:
        of_all = precision.of_all(int(min(given)), int(max(given)))
    if of_all is None:
        raise _Uncertain
    kept = width - len(str(of_all.divisor)) + 1  # digits that are not below a millisecond
    joined = b",".join(given) + b","
    if not 0 < kept <= _DIGITS_MAX or len(joined) != (width + 1) * len(given):
        raise _Uncertain
    digits = np.frombuffer(joined, np.uint8).reshape(-1, width + 1) - _ZERO
    if digits[:, :width].max() > 9 or (digits[:, width] != _COMMA).any():
        raise _Uncertain
    times_ms = (digits[:, :kept] @ _POWERS[-kept:]).astype(np.int64) * of_all.factor
    if times_ms.min() < rules.oldest_ms or times_ms.max() > arrived_ms + rules.future_max_ms:
        raise _Uncertain
    return times_ms


def _batch(
    grouped: _Grouped, devices: list[str], times: bytes, measured: list[dict[str, bytes]]
) -> Batch:
    """A block per group and partition."""
    blocks: dict[int, list[Block]] = {}
    slices: dict[int, list[slice]] = {}
    for (first, last, parts), columns in zip(grouped.groups, measured, strict=True):
        ends = [*(begin for begin, _ in parts[1:]), last]
        for (begin, partition), end in zip(parts, ends, strict=True):
            part = slice((begin - first) * 8, (end - first) * 8)
            values: dict[str, float | bytes] = {k: v[part] for k, v in columns.items()}
            named = devices[begin:end]
            is_one = named[0] == named[-1] and named.count(named[0]) == end - begin
            block = Block(named[0] if is_one else named, times[begin * 8 : end * 8], values)
            if partition in blocks:
                blocks[partition].append(block)
                slices[partition].append(slice(begin, end))
            else:
                blocks[partition], slices[partition] = [block], [slice(begin, end)]
    order = grouped.order
    if len(grouped.groups) > 1:
        order = np.concatenate([order[part] for parts in slices.values() for part in parts])
    return Batch(blocks, len(devices), is_batch=True, order=order)
