"""Long tables: a row has the name of a quantity, its value, and perhaps its unit. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tributary.errors import Misconfigured
from tributary.load import metric_role, names, time_cells, time_role, unit_role, vocabulary
from tributary.load.evidence import DISTINCT_MAX, Evidence
from tributary.load.evidence import Column as Cells
from tributary.load.metric_role import Marks
from tributary.load.plan import Column, Long, Options
from tributary.model import units
from tributary.model.catalogue import Catalogue

_VALUE_MIN = 0.1  # of the cells of a value column; states may be words

Columns = tuple[str, str, str | None]


def missing(options: Options) -> frozenset[str]:
    """The cells of `--missing` in the notations of numbers."""
    found = set()
    for text in options.missing:
        bare = text.strip()
        found |= {bare, bare.replace(".", ",")}
        found |= {f"{bare}{mark}{'0' * n}" for mark in ".," for n in range(1, 5)}
    return frozenset(found if options.missing != ("none",) else ())


def columns(evidence: Evidence, options: Options, metrics: Catalogue) -> Columns | None:
    """The columns of quantity, value and unit, or None if this is not a long table.

    Raises:
        Misconfigured: there may be several.
    """
    cells = evidence.columns
    known = [c for c in (options.metric_column, options.value_column) if c in cells or c is None]
    if len(known) < 2:
        return None  # reported by the check of all options
    quantity = options.metric_column or _quantity(evidence, options, metrics)
    if quantity is None:
        if options.value_column is not None:
            raise Misconfigured("--value-column needs the column of quantities: --metric-column")
        return None
    value = options.value_column or _value(evidence, quantity)
    if value is None:
        if options.metric_column is None:
            return None
        raise Misconfigured("no column is certain to have the values; name it with --value-column")
    unit = options.unit_column or _unit(evidence, {quantity, value})
    return quantity, value, unit if unit in cells else None


def read(
    found: Columns, evidence: Evidence, options: Options, metrics: Catalogue, marks: Marks
) -> Long:
    """The metrics of the quantities of a long table.

    Raises:
        Misconfigured: there are too many quantities, or two have the same metric.
    """
    quantity, value, unit = found
    cells = evidence.columns[quantity]
    if cells.distinct is None:
        raise Misconfigured(
            f"{quantity} has more than {DISTINCT_MAX} different names; choose --metric-column"
        )
    metric_role.refuse_sentinel(evidence.columns[value], options)
    seen = _units(found, evidence)
    counts = Counter(names.read(text).metric for text in cells.distinct)
    read_metrics: dict[str, Column] = {}
    left_out: dict[str, str] = {}
    taken: dict[str, str] = {}
    for text in cells.distinct:
        named = names.read(text)
        metric = named.metric if counts[named.metric] == 1 else named.qualified
        metric = options.names.get(text, metric)
        if not metric:
            left_out[text] = "by --map" if text in options.names else "has no name (--map)"
            continue
        if taken.setdefault(metric, text) != text:
            raise Misconfigured(
                f"{quantity}: {taken[metric]!r} and {text!r} would both become {metric}; rename one "
                f"with --map '{text}=METRIC'"
            )
        column = Column(text, metric, marks.mark(evidence.columns[value]))
        common = seen.get(text, Counter()).most_common(1)
        known = common[0][0] if common else named.unit
        read_metrics[text] = unit_role.converted(column._replace(unit=known), metrics)
    unknown = [name for name in options.names if name not in {*cells.distinct, *evidence.columns}]
    if unknown:
        raise Misconfigured(f"--map {unknown[0]}: neither a column nor one of {quantity}")
    return Long(quantity, value, unit, read_metrics, left_out)


def beside(
    others: Iterable[str], evidence: Evidence, options: Options, metrics: Catalogue, marks: Marks
) -> tuple[Column, ...]:
    """The columns beside those of a long table: only those that are named with --map."""
    del metrics
    return tuple(
        metric_role.plain(evidence.columns[name], marks)._replace(metric=options.names[name])
        if options.names.get(name)
        else Column(name, left_out="beside a column of values (--map)")
        for name in others
    )


def _quantity(evidence: Evidence, options: Options, metrics: Catalogue) -> str | None:
    values = [c for c in evidence.columns.values() if _is_value(c)]
    found: list[tuple[int, str]] = []
    for column in evidence.columns.values():
        if column.name == options.device_column or not _names_quantities(column):
            continue
        rank = names.rank(column.name, vocabulary.QUANTITIES)
        is_strong = rank is not None and rank < vocabulary.STRONG_QUANTITIES
        is_device = names.device_rank(column.name) is not None
        if is_device and values and column.name not in options.names:
            found += _quantities_as_devices(column, metrics)
        elif is_strong and not is_device:
            found.append((rank or 0, column.name))
        elif values and _are_quantities(column):
            found.append((100 if rank is None else rank, column.name))
        elif values and rank is not None and not is_device and _is_doubtful(column, options):
            raise Misconfigured(
                f"{column.name} ({', '.join(list(column.distinct or ())[:3])}, …) may name the "
                f"metric or the device; choose with --metric-column {column.name!r} or "
                f"--device-column {column.name!r}"
            )
    if not found:
        return None
    varied = [name for _, name in sorted(found) if len(evidence.columns[name].distinct or ()) > 1]
    if len(varied) > 1 and len({rank < vocabulary.STRONG_QUANTITIES for rank, _ in found}) == 1:
        raise Misconfigured(
            f"{' and '.join(varied)} may both name the metric; choose with --metric-column"
        )
    return varied[0] if varied else min(found)[1]


def _quantities_as_devices(column: Cells, metrics: Catalogue) -> list[tuple[int, str]]:
    """The rank of a column such as `sensor` if its words are names of quantities.

    Raises:
        Misconfigured: only some are.
    """
    words = column.distinct or {}
    known = [w for w in words if names.is_quantity(w) or names.read(w).metric in metrics.metrics]
    if known and len(known) < len(words):
        other = next(word for word in words if word not in known)
        raise Misconfigured(
            f"{column.name}: {known[0]!r:.40} is the name of a quantity, but {other!r:.40} is not; "
            f"choose with --metric-column {column.name!r} or --device-column {column.name!r}"
        )
    return [(0, column.name)] if known else []


def _is_doubtful(column: Cells, options: Options) -> bool:
    return (
        options.device is None
        and not options.device_from_filename
        and column.distinct is not None
        and len(column.distinct) > 1
        and not names.is_identifier(column.name)
    )


def _names_quantities(column: Cells) -> bool:
    """Whether the cells are words that are not states, times or units."""
    if not column.filled or column.distinct is None or time_role.looks_like_time(column):
        return False
    words = {cell.lower() for cell in column.distinct}
    if words <= vocabulary.STATES | vocabulary.TRUE | vocabulary.FALSE:
        return False
    is_unit = names.rank(column.name, vocabulary.UNITS) is not None
    return not is_unit and column.share(time_cells.is_number) < 0.5


def _are_quantities(column: Cells) -> bool:
    """Whether most cells contain the name of a quantity, and only a few differ."""
    distinct = column.distinct or {}
    known = sum(bool(vocabulary.QUANTITY_WORDS.search(names.plain(text))) for text in distinct)
    is_device = names.device_rank(column.name) is not None
    return known * 10 >= len(distinct) * (10 if is_device else 7) and not is_device


def _is_value(column: Cells) -> bool:
    return (
        names.rank(column.name, vocabulary.VALUES) is not None
        and column.share(metric_role.is_measurement) >= _VALUE_MIN
    )


def _value(evidence: Evidence, quantity: str) -> str | None:
    """The column of values: by its name, or as the only one that measures something."""
    others = [c for c in evidence.columns.values() if c.name != quantity and c.filled]
    ranked = sorted(
        (names.rank(c.name, vocabulary.VALUES) or 0, c.name) for c in others if _is_value(c)
    )
    if ranked:
        return ranked[0][1]
    numeric = [
        c.name
        for c in others
        if not metric_role.why_not(c)
        and names.time_rank(c.name) is None
        and names.device_rank(c.name) is None
    ]
    return numeric[0] if len(numeric) == 1 else None


def _unit(evidence: Evidence, taken: set[str]) -> str | None:
    return next(
        (
            column.name
            for column in evidence.columns.values()
            if column.name not in taken
            and column.filled
            and names.rank(column.name, vocabulary.UNITS) is not None
        ),
        None,
    )


def _units(found: Columns, evidence: Evidence) -> dict[str, Counter[str]]:
    """The units of each quantity in the sample."""
    quantity, _, unit = found
    if unit is None:
        return {}
    a, b = evidence.position(quantity), evidence.position(unit)
    seen: dict[str, Counter[str]] = {}
    for row in evidence.sample:
        if (text := row[b].strip()) and units.parse(text.strip("()[]")) is not None:
            seen.setdefault(row[a].strip(), Counter())[text] += 1
    return seen
