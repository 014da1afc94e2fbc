"""The reference parser of JSON and NDJSON: slow and complete, with exact errors.

`fast` handles the bodies of most requests; all others are parsed here, or rejected with the
field, the index and the remedy. A property test compares the two parsers.
"""

from __future__ import annotations

import json
import math
import re
from array import array
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from ingest.batch import Batch
from ingest.doors.record import validate
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.model import reading
from tributary.model.frame import Block

T = TypeVar("T")

# Numbers that their double may not represent closely enough for `reading.time_ms`.
HAS_MANY_DIGITS = re.compile(rb"\.[0-9]{7}|[0-9][eE]-").search


def parse(
    body: bytes, arrived_ms: int, rules: Rules, rejected: list[Refused] | None = None
) -> Batch:
    """Parse one reading, an array of readings, or columns; invalid ones go to `rejected` if given.

    Raises:
        Refused: 400 if it is not JSON or has the wrong shape, 413 for too many readings,
            422 for an invalid reading.
    """
    value = load(body)
    if isinstance(value, dict):
        if any(isinstance(v, list) for v in value.values()):
            return _columns(value, arrived_ms, rules, rejected)
        if rejected is None:
            block = validate.block(value, arrived_ms, rules)
            return rules.collect([(0, block)], is_batch=False)
        return batch([value], arrived_ms, rules, rejected)
    if isinstance(value, list):
        return batch(value, arrived_ms, rules, rejected)
    raise validate.wrong_shape(f"a JSON {validate.kind(value)} is not a reading")


def parse_lines(
    body: bytes, arrived_ms: int, rules: Rules, rejected: list[Refused] | None = None
) -> Batch:
    """Parse NDJSON, skipping empty lines; invalid lines go to `rejected` if given.

    Raises:
        Refused: like `parse`, with the index of the reading.
    """
    lines = [line for line in body.split(b"\n") if line.strip()]
    rules.check_size(len(lines))

    def block_of(line: bytes) -> Block:
        return validate.block(load(line), arrived_ms, rules)

    return rules.collect(_each(lines, block_of, rejected), is_batch=True)


def batch(
    items: list[Any], arrived_ms: int, rules: Rules, rejected: list[Refused] | None = None
) -> Batch:
    """The readings of an array, validated one by one.

    Raises:
        Refused: with the index of the first invalid reading.
    """
    rules.check_size(len(items))

    def block_of(item: Any) -> Block:
        return validate.block(item, arrived_ms, rules)

    return rules.collect(_each(items, block_of, rejected), is_batch=True)


def load(body: bytes) -> Any:
    """Decode any JSON value: UTF-8 without a byte order mark, unique names, finite numbers.

    Raises:
        Refused: 400 with the position of the error.
    """
    try:
        return json.loads(
            body.decode(),
            object_pairs_hook=_object,
            parse_constant=_reject_constant,
            parse_int=_integer,
            parse_float=None if HAS_MANY_DIGITS(body) is None else reading.Written,
        )
    except UnicodeError as error:
        raise Refused(f"the body is not UTF-8: {error}", status=400, code="bad_encoding") from None
    except RecursionError:
        raise validate.wrong_shape("the JSON is nested too deeply") from None
    except ValueError as error:
        raise Refused(f"the body is not JSON: {error}", status=400, code="not_json") from None


def _each(
    items: list[Any], convert: Callable[[Any], T], rejected: list[Refused] | None
) -> list[tuple[int, T]]:
    """Convert each item, with its index; an error is raised or, if given, added to `rejected`."""
    converted = []
    for index, item in enumerate(items):
        try:
            converted.append((index, convert(item)))
        except Refused as refusal:
            refusal.index = index
            if rejected is None:
                raise
            rejected.append(refusal)
    return converted


def _columns(
    item: dict[str, Any], arrived_ms: int, rules: Rules, rejected: list[Refused] | None
) -> Batch:
    device = validate.device(item, rules)
    columns = {k: v for k, v in item.items() if k not in reading.RESERVED}
    for name, column in columns.items():
        if not isinstance(column, list):
            _reject_column(name, f"{name!r:.80} is not an array, but others are")
    lengths = {len(column) for column in columns.values()}
    times = item.get("recorded_at", [arrived_ms] * max(lengths, default=0))
    if not isinstance(times, list):
        _reject_column("recorded_at", "'recorded_at' must be an array like the values")
    if lengths != {len(times)}:
        _reject_column("recorded_at", "the arrays differ in length")
    rules.check_size(len(times))
    validate.check_names(columns, rules)

    def row_of(index: int) -> tuple[int, list[float]]:
        time_ms = validate.time_ms(times[index], arrived_ms, rules)
        values = [validate.number(name, column[index], rules) for name, column in columns.items()]
        return time_ms, values

    rows = _each(list(range(len(times))), row_of, rejected)
    if not rows:
        return Batch({}, 0, is_batch=True)
    times_ms = array("q", [time_ms for _, (time_ms, _) in rows]).tobytes()
    values = zip(*(row for _, (_, row) in rows), strict=True)
    packed: dict[str, float | bytes] = {
        name: array("d", column).tobytes() for name, column in zip(columns, values, strict=True)
    }
    block = Block(device, times_ms, packed)
    order = [index for index, _ in rows]
    return Batch({rules.devices[device]: [block]}, len(rows), is_batch=True, order=order)


def _reject_column(name: str, problem: str) -> NoReturn:
    raise Refused(
        f"{problem}; every column is an array of the same length",
        status=400,
        code="wrong_shape",
        field=name[:80],
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        duplicate = next(name for name in names if names.count(name) > 1)
        raise Refused(
            f"duplicate name {duplicate!r:.80} in an object; send it once",
            status=400,
            code="duplicate_name",
            field=duplicate[:80],
        )
    for name in value:
        name.encode()  # UnicodeEncodeError for a lone surrogate
    return value


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _integer(digits: str) -> float:
    return int(digits) if len(digits) < 400 else math.inf
