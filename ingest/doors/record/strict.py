"""The reference parser of JSON and NDJSON: slow and complete, with exact errors.

`fast` handles the bodies of most requests; all others are parsed here, or rejected with the
field, the index and the remedy. A property test compares the two parsers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from ingest.batch import Batch
from ingest.doors import numbers
from ingest.doors.record import form, json_text, other_doors, validate
from ingest.doors.record import item as readings
from ingest.doors.record.item import Ignored
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.model.frame import Block

T = TypeVar("T")

load = json_text.load  # for the doors whose messages are JSON


def parse(
    body: bytes, arrived_ms: int, rules: Rules, rejected: list[Refused] | None = None
) -> Batch:
    """Parse one reading, an array of readings, or columns; invalid ones go to `rejected` if given.

    Raises:
        Refused: 400 if it is not JSON or has the wrong shape, 413 for too many readings,
            422 for an invalid reading, or for a body of another door.
    """
    try:
        value = load(body)
    except Refused:
        other_doors.check_text(body)
        raise
    other_doors.check(value)
    if isinstance(value, dict):
        if any(isinstance(v, list) for v in value.values()):
            return _columns(value, arrived_ms, rules, rejected)
        if rejected is None:
            return one(value, arrived_ms, rules)
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

    def value_of(line: bytes) -> Any:
        value = load(line)
        other_doors.check(value)
        return value

    return _collect(lines, value_of, arrived_ms, rules, rejected)


def parse_form(
    body: bytes, arrived_ms: int, rules: Rules, rejected: list[Refused] | None = None
) -> Batch:
    """Parse the fields of a form as one reading, which goes to `rejected` if given and invalid.

    Raises:
        Refused: 400 if it is not a form, 422 for an invalid reading or a form of another door.
    """
    value = form.item(body)
    if rejected is None:
        return one(value, arrived_ms, rules)
    return batch([value], arrived_ms, rules, rejected)


def one(value: dict[str, Any], arrived_ms: int, rules: Rules) -> Batch:
    """The single reading of an object.

    Raises:
        Refused: 422.
    """
    ignored = Ignored()
    found = rules.collect([(0, readings.block(value, arrived_ms, rules, ignored))], is_batch=False)
    found.ignored = (*ignored,)
    return found


def batch(
    items: list[Any], arrived_ms: int, rules: Rules, rejected: list[Refused] | None = None
) -> Batch:
    """The readings of an array, validated one by one.

    Raises:
        Refused: with the index of the first invalid reading.
    """
    return _collect(items, lambda item: item, arrived_ms, rules, rejected)


def _collect(
    items: list[Any],
    value_of: Callable[[Any], Any],
    arrived_ms: int,
    rules: Rules,
    rejected: list[Refused] | None,
) -> Batch:
    rules.check_size(len(items))
    ignored = Ignored()

    def block_of(item: Any) -> Block:
        return readings.block(value_of(item), arrived_ms, rules, ignored)

    found = rules.collect(_each(items, block_of, rejected), is_batch=True)
    found.ignored = (*ignored,)
    return found


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
    device = readings.device(item, rules)
    ignored = Ignored()
    columns = _lists(readings.measured(item), ignored)
    validate.check_names(columns, rules)
    lengths = {len(column) for column in columns.values()}
    field = readings.find(item, readings.TIME, "time") or "recorded_at"
    times = item.get(field)
    if times is None:
        times = [None] * max(lengths, default=0)
    if not isinstance(times, list):
        _reject_column(field, f"{field!r} must be an array like the values")
    if lengths != {len(times)}:
        _reject_column(field, "the arrays differ in length")
    rules.check_size(len(times))

    def row_of(index: int) -> Block:
        row = {name: column[index] for name, column in columns.items()}
        return readings.block(
            {"device": device, field: times[index], **row}, arrived_ms, rules, ignored
        )

    rows = _each(list(range(len(times))), row_of, rejected)
    found = _packed(rows, device, rules)
    found.ignored = (*ignored,)
    return found


def _packed(rows: list[tuple[int, Block]], device: str, rules: Rules) -> Batch:
    """The rows of one device as one block if all have the same metrics, as they mostly have."""
    names = {(*block.metrics,) for _, block in rows}
    if len(names) != 1:
        return rules.collect(rows, is_batch=True)
    times_ms = struct.pack(f"{len(rows)}q", *(block.recorded_at_ms for _, block in rows))
    packed: dict[str, float | bytes] = {
        name: struct.pack(f"{len(rows)}d", *(block.metrics[name] for _, block in rows))
        for name in names.pop()
    }
    return Batch(
        {rules.devices[device]: [Block(device, times_ms, packed)]},
        len(rows),
        is_batch=True,
        order=[index for index, _ in rows],
    )


def _lists(members: dict[str, Any], ignored: Ignored) -> dict[str, list[Any]]:
    """The columns; text and null beside them are ignored, and numbers are rejected."""
    columns: dict[str, list[Any]] = {}
    for name, column in numbers.members(members).items():
        if isinstance(column, list):
            columns[name] = column
        elif numbers.of(column) is None:
            ignored.add([name])
        else:
            kind = validate.kind(column)
            _reject_column(name, f"{name!r:.80} is a {kind}, and other members are arrays")
    for name, column in columns.items():
        nested = next((cell for cell in column if isinstance(cell, dict | list)), None)
        if nested is not None:
            kind = validate.kind(nested)
            _reject_column(name, f"the array {name!r:.80} contains an {kind}")
    return columns


def _reject_column(name: str, problem: str) -> NoReturn:
    raise Refused(
        f"{problem}; every column is an array of numbers, all of the same length",
        status=400,
        code="wrong_shape",
        field=name[:80],
    )
