"""Bodies of plain lines, as columns.

In most bodies every line consists of head, fields and, in all lines or in none, a timestamp, with
single spaces between them and neither strings nor escapes. Splitting such a body at its spaces
yields the three in turn; `gather` takes less time where it applies. Lines of the same measurement
and fields are a group, and a column of a group is a JSON array once the name of the field is
removed from it. Whatever does not decode is left to the parser of lines.
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
from ingest.doors.influx import gather
from ingest.doors.influx.cache import Heads, head_of, heads_of, metrics_of
from ingest.doors.influx.gather import Ends, Single
from ingest.doors.influx.times import AUTO, Context, Precision
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.model import catalogue, reading
from tributary.model.frame import Block

_Int64s = NDArray[np.int64]
_Doubles = NDArray[np.float64]

LINES_MIN = 8  # columns of fewer lines take longer than lines
GATHERED_MIN = 200  # fewer lines are split sooner
_GROUP_MIN = 4  # lines on average
_SPACE = ord(" ")  # bytes up to it separate parts, or are left to the parser of lines
_END = b"\n" + gather.PADDING
_TIMESTAMP_MAX_BYTES = 19
_INT16_MAX = 2**15 - 1
_NUMERIC = b"0123456789.-+eE"
_ZERO = ord("0")
_DIGITS_MAX = 15  # of milliseconds, or of longer units
_POWERS = 10.0 ** np.arange(_DIGITS_MAX - 1, -1, -1)


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
    if b'"' in body or b"\\" in body or b"#" in body:
        return None
    end = gather.PADDING if body.endswith(b"\n") else _END
    text = body + end
    octets = np.frombuffer(text, np.uint8, len(text) - len(gather.PADDING))
    (blanks,) = (octets <= _SPACE).nonzero()
    kinds = octets[blanks].tobytes()
    line = kinds[: kinds.find(b"\n") + 1]
    size = len(kinds) // len(line)
    if line not in (b" \n", b"  \n") or size < LINES_MIN or kinds != line * size:
        return None
    context.rules.check_size(size)
    try:
        return _convert(text, blanks.reshape(size, len(line)), context)
    except (_Uncertain, Refused, ValueError, OverflowError, msgspec.MsgspecError, struct.error):
        return None


def _convert(text: bytes, ends: Ends, context: Context) -> Batch:
    """Convert a text of which `ends` are the ends of the parts of each line."""
    size, step = ends.shape
    rules = context.rules
    if step == 3:
        times_ms = _times_ms(text, ends, context)
    else:
        times_ms = np.full(size, context.arrived_ms, np.int64)
    single = gather.single(text, ends) if size >= GATHERED_MIN else None
    if single is not None:
        heads, numbers = _heads(single.heads, rules)
        grouped = _grouped(heads, numbers, None)
        measured = _single(heads, numbers, grouped, single, rules)
    else:
        tokens = text[: ends[-1, -1]].split()
        if len(tokens) != step * size:  # a part is empty
            raise _Uncertain
        heads, numbers = _heads(tokens[0::step], rules)
        grouped = _grouped(heads, numbers, tokens[1::step])
        measured = _measured(heads, numbers, grouped, tokens[1::step], rules)
    if len(set().union(*measured)) < sum(map(len, measured)):
        raise _Uncertain  # the order of the values of a series would be lost
    numbers = numbers[grouped.order]
    devices, partitions = heads.devices[numbers].tolist(), heads.partitions[numbers]
    batch = _batch(grouped, devices, partitions, times_ms[grouped.order].tobytes(), measured)
    series = [
        (tuple(columns), numbers[group.begin : group.end])
        for group, columns in zip(grouped.groups, measured, strict=True)
    ]
    batch.is_known = all(heads.are_known(*each) for each in series)
    batch.remember = partial(heads.remember, series)
    return batch


def _single(
    heads: Heads, numbers: NDArray[np.intp], grouped: _Grouped, single: Single, rules: Rules
) -> list[dict[str, bytes]]:
    """The packed values of the metric of each group, in their order."""
    values = single.values[grouped.order]
    measured = []
    for begin, end, _ in grouped.groups:
        measurement = heads.all[numbers[grouped.order[begin]]].measurement
        (metric,) = metrics_of(measurement, (single.name,), rules)
        _check_plausible(metric, values[begin:end], rules)
        measured.append({metric: values[begin:end].tobytes()})
    return measured


def _measured(
    heads: Heads,
    numbers: NDArray[np.intp],
    grouped: _Grouped,
    fields: list[bytes],
    rules: Rules,
) -> list[dict[str, bytes]]:
    """The packed values of each metric of each group, in their order."""
    order, groups = grouped
    if len(groups) == 1:
        columns = _columns(fields, heads.all[numbers[0]].measurement, rules)
        return [{k: np.frombuffer(v)[order].tobytes() for k, v in columns.items()}]
    ordered = [fields[i] for i in order.tolist()]
    return [
        _columns(ordered[begin:end], heads.all[numbers[order[begin]]].measurement, rules)
        for begin, end, _ in groups
    ]


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


def _grouped(heads: Heads, numbers: NDArray[np.intp], fields: list[bytes] | None) -> _Grouped:
    """Group lines by measurement and names of fields; None: they have one field of one name."""
    measurements = heads.measurements[numbers]
    keys = partitions = heads.partitions[numbers]
    count = int(partitions.max()) + 1
    is_mixed = bool((measurements != measurements[0]).any())
    if fields is None:
        if is_mixed:
            keys = measurements * count + partitions
    elif is_mixed or b"," in fields[0]:
        # Without digits, equal names look equal; names that differ in digits only do not decode.
        kinds = b" ".join(fields).translate(None, _NUMERIC).split(b" ")
        known = dict(zip(set(kinds), itertools.count(), strict=False))
        kind_numbers = np.fromiter(map(known.__getitem__, kinds), np.int64, len(kinds))
        keys = (measurements * len(known) + kind_numbers) * count + partitions
    if keys.dtype != np.int16 and keys.max() <= _INT16_MAX:
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
    ends = [*(group.begin for group in groups[1:]), len(numbers)]
    if len(groups) * _GROUP_MIN > len(numbers):
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
        _check_plausible(metric, np.frombuffer(column), rules)
        packed[metric] = column
    return packed


def _check_plausible(metric: str, values: _Doubles, rules: Rules) -> None:
    if rules.ranges and not catalogue.is_plausible_column(metric, values, rules.ranges):
        raise _Uncertain


def _column(name: bytes, fields: list[bytes], size: int) -> bytes:
    """The numbers of `name=number`; a field of another name is not JSON."""
    if not name:
        raise _Uncertain
    given = (b",%b," % b",".join(fields)).replace(b",%b=" % name, b",")
    is_integer = fields[0].endswith(b"i")
    if is_integer:
        given = given.replace(b"i,", b",")
    return gather.numbers(given[1:-1], size, is_integer=is_integer).tobytes()


def _times_ms(text: bytes, ends: Ends, context: Context) -> _Int64s:
    """Timestamps with the same number of digits, as nearly all have since 2001.

    Fast code: their digits are a matrix. Its product with the powers of ten is exact, because so
    many digits of milliseconds are below 2 ** 53.
    """
    precision, arrived_ms, rules = context
    begins = ends[:, 1] + 1
    widths = ends[:, 2] - begins
    width = int(widths[0])
    if not 0 < width <= _TIMESTAMP_MAX_BYTES or widths.max() > width:
        raise _Uncertain
    given = gather.rows(text, begins, width)
    digits = given - _ZERO
    if digits.max() > 9:  # or a timestamp is shorter
        raise _Uncertain
    of_all: Precision | None = precision
    if precision.name == AUTO:
        all_given = given.view(f"S{width}")
        of_all = precision.of_all(int(all_given.min()), int(all_given.max()))
    if of_all is None:
        raise _Uncertain
    kept = width - len(str(of_all.divisor)) + 1  # digits that are not below a millisecond
    if not 0 < kept <= _DIGITS_MAX:
        raise _Uncertain
    times_ms = (digits[:, :kept] @ _POWERS[-kept:]).astype(np.int64) * of_all.factor
    if times_ms.min() < rules.oldest_ms or times_ms.max() > arrived_ms + rules.future_max_ms:
        raise _Uncertain
    return times_ms


def _batch(
    grouped: _Grouped,
    devices: list[str],
    partitions: NDArray[np.int16],
    times: bytes,
    measured: list[dict[str, bytes]],
) -> Batch:
    """A block per group and partition; all but the columns are in the order of the groups."""
    blocks: dict[int, list[Block]] = {}
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
            else:
                blocks[partition] = [block]
    order = grouped.order
    if len(grouped.groups) > 1:
        blocks = dict(sorted(blocks.items()))
        order = order[np.argsort(partitions, kind="stable")]
    return Batch(blocks, len(devices), is_batch=True, order=order)
