"""What heads and fields of lines say, cached by their bytes.

A client sends the same `measurement,tags` and the same fields again and again. Both caches are
bounded, since clients choose the names: they are cleared when full, and long names are not cached.
"""

from __future__ import annotations

from ingest.doors.influx import line as lines
from ingest.doors.influx import names
from ingest.doors.influx.line import Head
from ingest.limits import Rules

HEADS_MAX, HEAD_MAX_BYTES = 50_000, 512
SHAPES_MAX, SHAPE_MAX_BYTES = 4_096, 2_048


def head_of(head: bytes, rules: Rules) -> Head:
    """What measurement and tags say.

    Raises:
        ValueError, Refused: they are not valid.
    """
    found = rules.heads.get(head)
    if found is None:
        found = lines.parse_head(head, rules)
        if len(head) <= HEAD_MAX_BYTES:
            if len(rules.heads) >= HEADS_MAX:
                rules.heads.clear()
            rules.heads[head] = found
    return found


def metrics_of(measurement: str, fields: tuple[bytes, ...], rules: Rules) -> tuple[str, ...]:
    """The metrics of the fields of a measurement.

    Raises:
        ValueError, Refused: a name is not valid, or two are the same.
    """
    key = (measurement, fields)
    found = rules.shapes.get(key)
    if found is None:
        found = tuple(names.metric(measurement, lines.decoded(field)) for field in fields)
        twice = next((name for name in found if found.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two fields are the metric {twice}; rename one")
        rules.metrics.check(found)
        if len(measurement) + sum(map(len, fields)) <= SHAPE_MAX_BYTES:
            if len(rules.shapes) >= SHAPES_MAX:
                rules.shapes.clear()
            rules.shapes[key] = found
    return found
