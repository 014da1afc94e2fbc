"""Decides which columns are metrics, their decimal marks and their units. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import inf

from tributary.errors import Misconfigured
from tributary.load import names, numbers, time_role, unit_role, vocabulary
from tributary.load.evidence import HIGH_SENTINELS, LOW_SENTINELS, Evidence
from tributary.load.evidence import Column as Cells
from tributary.load.plan import Column, Options
from tributary.load.table import Form
from tributary.model import reading, units
from tributary.model.catalogue import Catalogue

_NUMERIC_MIN = 0.5
_VALUE_MIN = 0.1  # of columns such as `state`, which also have words
_KEEP = "--missing none keeps them"
_SIGNS = frozenset("NSEW")
_FAR = 5  # numbers that may stand for missing ones are at least this many times all others


class Marks:
    """The decimal marks of columns, from the whole file."""

    def __init__(self, evidence: Evidence, form: Form, options: Options) -> None:
        self._decimal = options.decimal
        self._form = form
        self._proofs = {c.name: _proofs(c) for c in evidence.columns.values()}
        self._all: Counter[str] = sum(self._proofs.values(), Counter())
        cells = (cell for c in evidence.columns.values() for cell in c.cells())
        ambiguous = (
            c for col in evidence.columns.values() for c in col.cells() if numbers.is_ambiguous(c)
        )
        self._is_mixed = len({"," in cell for cell in ambiguous}) == 2
        self._has_groups = any(
            "," in c and numbers.proved_mark(c) == "." and "." in c for c in cells
        )

    def mark(self, column: Cells) -> str:
        """The decimal mark of ambiguous cells of a column.

        Raises:
            Misconfigured: the file does not show it.
        """
        if self._decimal:
            return self._decimal
        ambiguous = next((cell for cell in column.cells() if numbers.is_ambiguous(cell)), None)
        proofs = self._proofs[column.name]
        if len(proofs) == 1:
            return next(iter(proofs))
        if ambiguous is None:
            return "."
        written = "." if "." in ambiguous else ","
        other = "," if written == "." else "."
        is_decimal = (
            (self._form.name == "NDJSON" or not self._all[other])
            if written == "."
            else self._form.delimiter == ";" and not self._all[other]
        )
        is_decimal = is_decimal and not self._is_mixed
        if not proofs and (is_decimal or (self._all[written] and not self._all[other])):
            return written
        if not proofs and written == "," and self._has_groups and not self._all[","]:
            return "."  # another column has thousands such as 1,234.5
        plain = ambiguous.replace(written, ".")
        raise Misconfigured(
            f"{column.name}: {ambiguous!r} is {plain} or {ambiguous.replace(written, '')}; choose "
            "the decimal mark with --decimal . or --decimal ,"
        )


def _proofs(column: Cells) -> Counter[str]:
    found = Counter(mark for cell in column.cells() if (mark := numbers.proved_mark(cell)))
    return found + column.proofs


def columns(  # noqa: PLR0913, PLR0917 (what a plan is made of)
    wanted: Iterable[str],
    form: Form,
    evidence: Evidence,
    options: Options,
    metrics: Catalogue,
    marks: Marks,
) -> tuple[Column, ...]:
    """The plans of these columns."""
    wanted = list(wanted)
    _refuse_hemispheres(wanted, evidence, options)
    written = dict(zip(form.columns, form.units, strict=False))
    found = {
        name: _column(evidence.columns[name], form, options, marks, written.get(name, ""))
        for name in wanted
    }
    unique = _without_conflicts(found, options, metrics)
    for column in unique:
        if column.metric and not column.unit and column.name not in options.names:
            _refuse_implausible(evidence.columns[column.name], column.metric, metrics)
    return tuple(unit_role.converted(column, metrics) for column in unique)


def plain(cells: Cells, marks: Marks) -> Column:
    """A column of numbers as they are."""
    return Column(cells.name, "", marks.mark(cells), example=cells.example)


def _column(cells: Cells, form: Form, options: Options, marks: Marks, unit: str) -> Column:
    override = options.names.get(cells.name)
    if override == "":
        return Column(cells.name, left_out="by --map")
    named = names.read(cells.name, keep_valid=form.name == "NDJSON")
    if not cells.filled:
        return Column(cells.name, left_out="empty")
    why = "" if override else why_not(cells)
    if why == "text" and names.is_quantity(cells.name):
        _refuse_words(cells)
    if why:
        return Column(cells.name, left_out=why)
    refuse_sentinel(cells, options)
    unit = _unit_of_cells(cells) or named.unit or unit.strip("()[]{} ")
    is_value = names.rank(cells.name, vocabulary.VALUES) is not None
    is_boolean = cells.share(is_boolean_cell) >= (0.0 if is_value else _NUMERIC_MIN)
    return Column(
        cells.name,
        override or named.metric,
        marks.mark(cells),
        unit,
        is_boolean=is_boolean,
        example=cells.example,
        left_out="" if override or named.metric else "has no name",
    )


def why_not(cells: Cells) -> str:
    """Why a column does not contain measurements, or nothing."""
    name, column = names.bare(cells.name), cells.name
    numeric = cells.share(is_measurement)
    is_value = names.rank(column, vocabulary.VALUES) is not None
    is_unit = unit_role.is_unit_column(column)
    is_whole = not any("." in shape or "," in shape for shape in cells.shapes)
    is_constant = is_whole and cells.filled > 1 and cells.low == cells.high
    bound = vocabulary.DEGREES.get(name, inf)
    checks = (
        ("codes, not measurements", name in vocabulary.TROUBLE_CODES),
        ("a date or time", numeric < 1.0 and time_role.looks_like_time(cells)),
        ("a time, not a measurement", names.time_rank(column) is not None),
        ("units", is_unit and cells.share(unit_role.is_unit) > _NUMERIC_MIN),
        ("identifies something, measures nothing (--map)", names.is_identifier(column)),
        ("text", numeric < (_VALUE_MIN if is_value else _NUMERIC_MIN)),
        ("numbers the rows", names.is_row_number(column) and cells.counts_up),
        ("a code that never changes (--map)", is_constant and names.is_code(column)),
        ("a code, not a measurement (--map)", names.is_category(column) and is_whole),
        (
            "not in degrees: its decimal marks are missing",
            bound < inf and (cells.low < -bound or cells.high > bound),
        ),
    )
    return next((why for why, applies in checks if applies), "")


def is_measurement(cell: str) -> bool:
    """Whether a cell is a number in a known unit, or true or false."""
    try:
        unit = numbers.parse(cell).unit
    except ValueError:
        return is_boolean_cell(cell)
    return not unit or unit == numbers.CLOCK or units.parse(unit) is not None or len(unit) < 8


def is_boolean_cell(cell: str) -> bool:
    """Whether a cell is true or false, on or off."""
    return numbers.boolean(cell) is not None


def _refuse_words(cells: Cells) -> None:
    """Refuse a column of a quantity whose cells are mostly not numbers."""
    word = next((cell for cell in cells.cells() if not is_measurement(cell)), "")
    if cells.share(is_measurement) > 0:
        raise Misconfigured(
            f"{cells.name}: {word!r:.40} is not a number; if such cells have no value, give "
            f"--missing {word!r:.40} for each, or leave the column out with --map '{cells.name}='"
        )


def _refuse_hemispheres(wanted: list[str], evidence: Evidence, options: Options) -> None:
    """Refuse degrees whose sign is a letter, south or west, in the cell or in another column."""
    cells = evidence.columns
    letters = [c.name for c in cells.values() if c.distinct and _is_hemisphere(c.distinct)]
    for name in wanted:
        bare, degrees = names.bare(name), cells[name]
        is_position = bare in vocabulary.DEGREES or bare.startswith(("latitude", "longitude"))
        own = _unit_of_cells(degrees)
        if (
            is_position
            and name not in options.names
            and degrees.filled
            and (letters or own in _SIGNS)
        ):
            where = f"the letter {own}" if own in _SIGNS else f"the column {letters[0]}"
            raise Misconfigured(
                f"{name}: the hemisphere is in {where}, so its sign is not certain; write signed "
                f"degrees, or leave the column out with --map '{name}='"
            )


def _is_hemisphere(distinct: dict[str, None]) -> bool:
    words = {cell.upper() for cell in distinct}
    return words in ({"S"}, {"W"}, {"N", "S"}, {"E", "W"})


def _refuse_implausible(cells: Cells, metric: str, metrics: Catalogue) -> None:
    """Refuse numbers without a unit that are all implausible in that of the catalogue."""
    known = metrics[metric]
    if known.plausible is None or known.unit is None:
        return
    least, most = known.plausible
    if -inf < cells.rest_high < least or most < cells.rest_low < inf:
        raise Misconfigured(
            f"{cells.name} has no unit, and {cells.example!r:.40} is not plausible for {metric} in "
            f"{known.unit}; give it another metric with --map '{cells.name}=METRIC', keep it with "
            f"--map '{cells.name}={metric}', or add its unit to its name: '{cells.name} (UNIT)'"
        )


def _unit_of_cells(cells: Cells) -> str:
    found: Counter[str] = Counter()
    for shape in cells.shapes.values():
        example = next(iter(shape.examples))
        try:
            found[numbers.parse(example).unit] += shape.count
        except ValueError:
            continue
    return found.most_common(1)[0][0] if found else ""


def refuse_sentinel(cells: Cells, options: Options) -> None:
    """Refuse numbers that usually stand for missing ones, far from all others."""
    if options.missing:
        return
    is_low = cells.low in LOW_SENTINELS and (
        cells.low < 2 * cells.rest_low < inf or cells.low == cells.high
    )
    is_high = cells.high in HIGH_SENTINELS and -inf < cells.rest_high * _FAR < cells.high
    if is_low or is_high:
        value = f"{cells.low if is_low else cells.high:.15g}"
        raise Misconfigured(
            f"{cells.name}: {value} may stand for a missing value; if so, give --missing {value}, "
            f"else {_KEEP}"
        )


def _without_conflicts(
    found: dict[str, Column], options: Options, metrics: Catalogue
) -> list[Column]:
    """Columns with unique metrics: mapped columns come first, then those of the catalogue.

    Columns that differ only in their source keep it in their names: `speed_gps`, `speed_obd`.
    """
    counts = Counter(column.metric for column in found.values())
    for name, column in found.items():
        longer = names.read(name).qualified
        is_shared = bool(column.metric) and counts[column.metric] > 1
        if is_shared and name not in options.names and longer not in counts:
            found[name] = column._replace(metric=longer)
    taken: set[str] = set()
    claims = sorted(
        found,
        key=lambda c: (
            c not in options.names,
            found[c].metric not in metrics.metrics,
            found[c].metric != names.plain(c),
        ),
    )
    for name in claims:
        metric = found[name].metric
        if metric in taken:
            why = f"{metric} is the metric of another column; use --map"
            found[name] = Column(name, left_out=why)
        elif metric and len(taken) == reading.METRICS_MAX:
            found[name] = Column(name, left_out=f"beyond {reading.METRICS_MAX} metrics")
        elif metric:
            taken.add(metric)
    return list(found.values())
