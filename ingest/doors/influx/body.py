"""A body of lines → a batch: as columns where every line is plain, else line by line."""

from __future__ import annotations

from ingest.batch import Batch
from ingest.doors.influx import line as lines
from ingest.doors.influx import plain, regular
from ingest.doors.influx.cache import head_of, metrics_of
from ingest.doors.influx.groups import Groups
from ingest.doors.influx.times import Context
from tributary.errors import Refused
from tributary.model import catalogue

_REGULAR_MIN_BYTES = 100
_BLANKS = b" \t\r\0"


def parse(body: bytes, context: Context, rejected: list[Refused] | None) -> Batch:
    """Convert lines to readings.

    Args:
        body: the lines; empty ones and comments are skipped.
        context: of the request.
        rejected: if given, bad lines are added to it and left out.

    Raises:
        Refused: 413 too many lines; 400 for the first bad line, unless `rejected` is given.
    """
    if len(body) >= _REGULAR_MIN_BYTES:
        batch = regular.parse(body, context)
        if batch is not None:
            batch.rejected = rejected
            return batch
    given = lines.split(body)
    numbered = [
        (index, stripped)
        for index, line in enumerate(given)
        if (stripped := line.strip(_BLANKS)) and stripped[:1] != b"#"
    ]
    if len(numbered) > 1:
        context.rules.check_size(len(numbered))
    groups, texts = Groups(), 0
    for index, line in numbered:
        try:
            texts += _add(groups, index, line, context)
        except (ValueError, Refused) as error:
            refusal = lines.invalid(line, index, str(error))
            if rejected is None:
                raise refusal from None
            rejected.append(refusal)
    batch = groups.batch()
    batch.rejected = rejected
    batch.texts = texts
    return batch


def _add(groups: Groups, index: int, line: bytes, context: Context) -> int:
    """Add a line to its group; the number of its fields that are text."""
    precision, arrived_ms, rules = context
    point = plain.parse(line) or lines.parse(line)
    head = head_of(point.head, rules)
    time_ms = arrived_ms
    if point.timestamp is not None:
        time_ms = precision.checked_ms(point.timestamp, arrived_ms, rules)
    if point.fields:
        metrics = metrics_of(head.measurement, point.fields, rules)
        if rules.ranges:
            for name, value in zip(metrics, point.values, strict=True):
                catalogue.check(name, value, rules.ranges)
        groups.add(index, head, metrics, time_ms, point.values)
    return point.strings
