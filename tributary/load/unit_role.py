"""The units of metrics: what a file states, converted to that of the catalogue. Pure."""

from __future__ import annotations

from tributary.errors import Misconfigured
from tributary.load import names, numbers, vocabulary
from tributary.load.evidence import Evidence
from tributary.load.plan import Column, Options, Plan
from tributary.model import units
from tributary.model.catalogue import Catalogue

_UNITS_MIN = 0.9  # share of cells that are units in a column of them


def is_unit(cell: str) -> bool:
    """Whether a cell is a unit."""
    return names.unit_of(cell) is not None


def converted(column: Column, metrics: Catalogue) -> Column:
    """The column with the conversion of its unit to that of the catalogue.

    Raises:
        Misconfigured: they are of different kinds.
    """
    wanted = metrics[column.metric].unit if column.metric else None
    if wanted is None or column.unit == numbers.CLOCK:
        return column._replace(stored=column.unit)
    if not column.unit:
        return column._replace(stored=wanted)
    given = units.parse(column.unit)
    if wanted in (column.unit, given):
        return column._replace(stored=wanted)
    conversion = units.conversion(given, wanted) if given else None
    if conversion is None:
        raise Misconfigured(
            f"{column.name} is in {column.unit!r}, but {column.metric} is in {wanted}; give it "
            f"another metric with --map '{column.name}=METRIC'"
        )
    return column._replace(stored=wanted, conversion=conversion)


def with_unit_columns(plan: Plan, evidence: Evidence, options: Options, metrics: Catalogue) -> Plan:
    """The plan with the units that other columns state for its metrics."""
    named = [options.unit_column] if options.unit_column else _unit_columns(evidence)
    for name in named:
        plan = _with_unit_column(plan, name, evidence, metrics)
    return plan


def is_unit_column(column: str) -> bool:
    """Whether a name is that of a column of units: `unit`, `speed_unit`, `TempUnit`."""
    return vocabulary.UNIT.fullmatch(names.bare(column)) is not None or (
        names.rank(column, vocabulary.UNITS) is not None
    )


def _unit_columns(evidence: Evidence) -> list[str]:
    """The columns of units; those of one metric (`speed_unit`) first."""
    found = [
        column.name
        for column in evidence.columns.values()
        if column.filled and is_unit_column(column.name) and column.share(is_unit) >= _UNITS_MIN
    ]
    return sorted(found, key=lambda name: names.rank(name, vocabulary.UNITS) is not None)


def _with_unit_column(plan: Plan, named: str, evidence: Evidence, metrics: Catalogue) -> Plan:
    found = {names.unit_of(text) for text in evidence.columns[named].distinct or ()} - {None}
    bare = [c for c in plan.metrics if not c.unit]
    match = vocabulary.UNIT.fullmatch(names.bare(named))
    kind = (match and match["about"]) or ""
    about = [c for c in bare if kind in names.bare(c.name)] or bare
    if not about or not found:
        return plan
    if len(found) == 1:
        unit = str(found.pop())
        alike = [c for c in about if _fits(c, unit, metrics)] if len(about) > 1 else about
        changed = {c.name: converted(c._replace(unit=unit), metrics) for c in alike}
        return plan._replace(columns=tuple(changed.get(c.name, c) for c in plan.columns))
    if len(plan.metrics) == len(about) == 1 and metrics[about[0].metric].unit is not None:
        return plan._replace(unit_column=named)
    if plan.device.column and _is_one_each(evidence, plan.device.column, named):
        return plan
    raise Misconfigured(
        f"{named} has several units for {about[0].name}; name the column of quantities with "
        "--metric-column, or the metric of the catalogue with --map"
    )


def _is_one_each(evidence: Evidence, device: str, unit: str) -> bool:
    """Whether each device has one unit."""
    a, b = evidence.position(device), evidence.position(unit)
    pairs = {(row[a], row[b]) for row in evidence.sample if row[a] and row[b]}
    return len(pairs) == len({device for device, _ in pairs})


def _fits(column: Column, unit: str, metrics: Catalogue) -> bool:
    wanted = metrics[column.metric].unit
    return wanted is not None and units.conversion(unit, wanted) is not None
