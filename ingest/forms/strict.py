"""The definition of the JSON forms: slow, complete, and exact about what is wrong.

`fast` takes the well-formed and the usual; whatever it doubts comes here, to be accepted or
refused with the field, the index and the remedy. A property test holds the two together.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from ingest import rules
from ingest.rules import Accepted, Rules
from tributary import reading
from tributary.errors import Refused
from tributary.frame import Block


def parse(body: bytes, arrived_ms: int, limits: Rules) -> Accepted:
    """One reading, an array of readings, or columns.

    Raises:
        Refused: 400 for what is not JSON or has the wrong shape, 413 for too many readings,
            422 for a reading that breaks a rule.
    """
    value = load(body)
    if isinstance(value, dict):
        if any(isinstance(v, list) for v in value.values()):
            return _columns(value, arrived_ms, limits)
        return _collected([_reading(value, arrived_ms, limits)], limits, is_batch=False)
    if isinstance(value, list):
        return batch(value, arrived_ms, limits)
    raise wrong_shape(f"a JSON {_kind(value)} is not a reading")


def parse_lines(body: bytes, arrived_ms: int, limits: Rules) -> Accepted:
    """NDJSON: one reading a line, empty lines passed over.

    Raises:
        Refused: as `parse`, with the number of the reading as index.
    """
    items: list[Any] = []
    for line in body.split(b"\n"):
        if line.strip():
            with _at(len(items)):
                items.append(load(line))
    return batch(items, arrived_ms, limits)


def batch(items: list[Any], arrived_ms: int, limits: Rules) -> Accepted:
    """The readings of an array, each checked by itself.

    Raises:
        Refused: with the index of the first reading that breaks a rule.
    """
    limits.check_size(len(items))
    return _collected(list(_readings(items, arrived_ms, limits)), limits, is_batch=True)


def load(body: bytes) -> Any:
    """Any JSON value, in UTF-8 without a byte order mark, keys unique, numbers finite.

    Raises:
        Refused: 400 with the place of the fault.
    """
    try:
        return json.loads(
            body.decode(),
            object_pairs_hook=_unique,
            parse_constant=_constant,
            parse_int=_integer,
        )
    except UnicodeError as error:
        raise Refused(f"the body is not UTF-8: {error}", status=400, code="bad_encoding") from None
    except RecursionError:
        raise wrong_shape("the JSON is nested too deeply") from None
    except ValueError as error:
        raise Refused(f"the body is not JSON: {error}", status=400, code="not_json") from None


def wrong_shape(fault: str) -> Refused:
    """400 for JSON that is no form of a reading."""
    return Refused(
        f"{fault}; send an object of numbers like "
        '{"engine_temperature": 92.3}, or an array of such objects',
        status=400,
        code="wrong_shape",
    )


def _readings(items: list[Any], arrived_ms: int, limits: Rules) -> Iterator[Block]:
    for index, item in enumerate(items):
        with _at(index):
            yield _reading(item, arrived_ms, limits)


@contextmanager
def _at(index: int) -> Iterator[None]:
    """Add the index of the reading to a refusal raised inside."""
    try:
        yield
    except Refused as refusal:
        refusal.index = index
        raise


def _reading(item: Any, arrived_ms: int, limits: Rules) -> Block:
    if not isinstance(item, dict):
        raise wrong_shape(f"a JSON {_kind(item)} is not a reading")
    device = _device(item, limits)
    recorded_at_ms = arrived_ms
    if "recorded_at" in item:
        recorded_at_ms = _time_ms(item["recorded_at"], arrived_ms, limits)
    metrics = {k: _number(k, v) for k, v in item.items() if k not in reading.RESERVED}
    _check_names(metrics, limits)
    return Block(device, recorded_at_ms, dict(metrics))


def _columns(item: dict[str, Any], arrived_ms: int, limits: Rules) -> Accepted:
    device = _device(item, limits)
    columns = {k: v for k, v in item.items() if k not in reading.RESERVED}
    for name, column in columns.items():
        if not isinstance(column, list):
            _refuse_column(name, f"{name!r:.80} is not an array, though others are")
    lengths = {len(column) for column in columns.values()}
    times = item.get("recorded_at", [arrived_ms] * max(lengths, default=0))
    if not isinstance(times, list):
        _refuse_column("recorded_at", "'recorded_at' must be an array, as the values are")
    if lengths != {len(times)}:
        _refuse_column("recorded_at", "the arrays differ in length")
    limits.check_size(len(times))
    times_ms, values = array("q"), {name: array("d") for name in columns}
    for index in range(len(times)):
        with _at(index):
            times_ms.append(_time_ms(times[index], arrived_ms, limits))
            for name, column in columns.items():
                values[name].append(_number(name, column[index]))
    _check_names(columns, limits)
    packed: dict[str, float | bytes] = {name: v.tobytes() for name, v in values.items()}
    block = Block(device, times_ms.tobytes(), packed)
    return Accepted({limits.devices[device]: [block]}, len(times), is_batch=True)


def _device(item: dict[str, Any], limits: Rules) -> str:
    device = item.get("device", reading.DEFAULT_DEVICE)
    if not isinstance(device, str):
        raise rules.invalid_device(device)
    limits.devices.check(device)
    return device


def _time_ms(given: Any, arrived_ms: int, limits: Rules) -> int:
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise _invalid_time(f"{_kind(given)} is not a time")
    try:
        time_ms = reading.time_ms(given)
    except (ValueError, OverflowError) as error:
        raise _invalid_time(str(error)) from None
    if time_ms > arrived_ms + limits.future_max_ms:
        raise Refused(
            f"recorded_at {given!r:.60} lies in the future; set the clock of the device "
            f"(at most {limits.future_max_ms} ms ahead)",
            status=422,
            code="in_future",
            field="recorded_at",
        )
    return time_ms


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(
            f"{name!r:.80} is {_kind(value)}, not a number; send a finite JSON number",
            status=422,
            code="not_a_number",
            field=name[:80],
        )
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Refused(
            f"{name!r:.80} is too large for a double; send a finite number",
            status=422,
            code="out_of_range",
            field=name[:80],
        )
    return number


def _check_names(metrics: dict[str, Any], limits: Rules) -> None:
    if not metrics:
        raise Refused(
            "the reading names no metric; send at least one number by name",
            status=422,
            code="no_metrics",
        )
    if len(metrics) > reading.METRICS_MAX:
        raise Refused(
            f"{len(metrics)} metrics in one reading; send at most {reading.METRICS_MAX}",
            status=422,
            code="too_many_metrics",
        )
    limits.metrics.check(set(metrics))


def _collected(blocks: list[Block], limits: Rules, *, is_batch: bool) -> Accepted:
    by_partition: dict[int, list[Block]] = {}
    for block in blocks:
        by_partition.setdefault(limits.devices[str(block.device)], []).append(block)
    return Accepted(by_partition, len(blocks), is_batch)


def _invalid_time(fault: str) -> Refused:
    return Refused(
        f"recorded_at: {fault}; send {reading.TIME_RULE}",
        status=422,
        code="invalid_time",
        field="recorded_at",
    )


def _refuse_column(name: str, fault: str) -> NoReturn:
    raise Refused(
        f"{fault}; every column is an array of the same length",
        status=400,
        code="wrong_shape",
        field=name[:80],
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused(
            f"the name {twice!r:.80} stands twice in one object; send it once",
            status=400,
            code="duplicate_name",
            field=twice[:80],
        )
    for name in value:
        name.encode()
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _integer(digits: str) -> float:
    return int(digits) if len(digits) < 400 else math.inf


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")
