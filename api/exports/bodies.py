"""The JSON bodies of exports. The OpenAPI schemas are generated from these types."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from api.read.bodies import Count, Duration, MetricName, Time
from tributary.model import export, pattern, reading
from tributary.model.export import Spec
from tributary.operate import exports

PATH = "/api/v1/exports"
Pattern = Annotated[
    str,
    Meta(pattern=f"^{pattern.PATTERN}$", description="Name of a device; * for any characters"),
]
_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000}


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """A JSON object with these fields and no others."""


class Covered(_Body):
    """Readings that arrived in this span could be included."""

    from_: Annotated[Time | None, Meta(description="Null: all that were ever recorded")] = (
        msgspec.field(name="from")
    )
    to: Annotated[Time | None, Meta(description="Null: nothing was recorded")]


class Problem(_Body):
    """Why an export failed."""

    code: Annotated[str, Meta(min_length=1)]
    message: str


class Export(_Body):
    """An export: what was asked for, how far it is, and the link to its file."""

    id: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    state: Literal["queued", "running", "done", "failed"]
    what: export.What
    format: export.Format
    devices: list[Pattern]
    metrics: Annotated[list[MetricName] | None, Meta(description="Null: all")]
    from_: Annotated[Time | None, Meta(description="Null: no limit")] = msgspec.field(name="from")
    to: Annotated[Time | None, Meta(description="Null: no limit")]
    slot: Annotated[Duration | None, Meta(description="Length of a slot; null for readings")]
    created_at: Time
    expires_at: Annotated[Time, Meta(description="The export, its file and its link end then")]
    progress: Annotated[float, Meta(ge=0, le=1)]
    rows: Annotated[Count, Meta(description="Written so far")]
    size_bytes: Count
    covered: Annotated[Covered | None, Meta(description="Once it is done")]
    link: Annotated[str | None, Meta(description="Once it is done: the path of its file")]
    error: Annotated[Problem | None, Meta(description="Once it has failed")]


class Exports(_Body):
    """The exports made with this token, oldest first."""

    exports: list[Export]


class ExportRequest(_Body):
    """What to export; everything is optional."""

    what: export.What | None = "readings"
    format: export.Format | None = "csv"
    devices: Annotated[
        Pattern
        | Annotated[list[Pattern], Meta(min_length=1, max_length=export.PATTERNS_MAX)]
        | None,
        Meta(description="Patterns, as a list or separated by commas"),
    ] = pattern.ANY
    metrics: Annotated[
        MetricName
        | Annotated[list[MetricName], Meta(min_length=1, max_length=reading.METRICS_MAX)]
        | None,
        Meta(description="Names, as a list or separated by commas; all by default"),
    ] = None
    from_: Annotated[
        str | float | None,
        Meta(description="Earliest time of a reading: RFC 3339, or a number as in `recorded_at`"),
    ] = msgspec.field(name="from", default=None)
    to: Annotated[
        str | float | None, Meta(description="Readings before this time only; after `from`")
    ] = None
    slot: Annotated[
        Duration | None,
        Meta(description="Length of slots: whole minutes, hours or days, up to 366d"),
    ] = None


def body(found: exports.Export) -> Export:
    """The body for an export."""
    record, spec, state = found.record, found.record.spec, found.state
    is_done = state.state == "done"
    covered = state.covered
    return Export(
        record.id,
        state.state,
        spec.what,
        spec.format,
        list(spec.devices),
        list(spec.metrics) or None,
        _time(spec.from_ms),
        _time(spec.to_ms),
        None if spec.slot_ms is None else _duration(spec.slot_ms),
        reading.rfc3339(record.created_ms),
        reading.rfc3339(record.expires_ms),
        state.progress,
        state.rows,
        state.size_bytes,
        None if covered is None else Covered(_time(covered.from_ms), _time(covered.to_ms)),
        f"{PATH}/{record.id}/file?secret={record.secret}" if is_done else None,
        Problem(state.code, state.message) if state.state == "failed" else None,
    )


def file_name(spec: Spec, created_ms: int) -> str:
    """The name under which a browser saves the file."""
    at = reading.rfc3339(created_ms)[:19].replace(":", "").replace("-", "")
    return f"tributary-{spec.what}-{at}Z.{spec.format}"


def _time(time_ms: int | None) -> str | None:
    return None if time_ms is None else reading.rfc3339(time_ms)


def _duration(length_ms: int) -> str:
    unit, unit_ms = next(each for each in _UNITS.items() if length_ms % each[1] == 0)
    return f"{length_ms // unit_ms}{unit}"
