"""Finds the columns of the time and how they are read. Pure.

A column is the time because of its cells as well as its name: at least 90 % of them can be read.
"""

from __future__ import annotations

from typing import NamedTuple

from tributary.errors import Misconfigured
from tributary.load import names, time_cells, time_order, time_start, vocabulary, zones
from tributary.load.evidence import Column, Evidence
from tributary.load.plan import Options, Time

READABLE_MIN = 0.9
_CLOCK = (vocabulary.HOURS, vocabulary.MINUTES, vocabulary.SECONDS)
_LATEST_MS = 4_200_000_000_000  # 2103; greater numbers are not times
SEVERAL_TABLES = (
    "{} is another line of column names; split the file into one table each, or begin with the "
    "last one by --skip-lines"
)
_UNNAMED = 1000  # the rank of a column that only its cells show to be the time
_STRONG = 20  # ranks below are names that mean nothing else


class Candidate(NamedTuple):
    """Columns that may be the time, what they contain, and how likely it is."""

    columns: tuple[str, ...]
    kind: str
    rank: int
    filled: int


def choose(evidence: Evidence, options: Options, taken: set[str]) -> Time | None:
    """The time of the rows, None for the time of arrival.

    Raises:
        Misconfigured: no column is certain to be the time, or it cannot be read.
    """
    if options.time_columns == ("none",):
        return None
    if options.time_columns:
        return _explicit(evidence, options)
    free = [column for name, column in evidence.columns.items() if name not in taken]
    found = _candidates(free, options)
    _refuse_unreadable(free, found, options)
    if not found:
        raise Misconfigured(
            f"no column contains times; name it with --time-column, or {time_start.HINT}"
        )
    most = max(candidate.filled for candidate in found)
    best = min(
        found, key=lambda c: (_is_relative(c), c.filled < most * READABLE_MIN, c.rank, -c.filled)
    )
    _refuse_doubt(best, found, evidence)
    return _resolved(_with_half_day(best, evidence), evidence, options)


def looks_like_time(column: Column) -> bool:
    """Whether cells are dates or times of day, whatever the name of the column."""
    return column.share(time_cells.is_text_time) >= READABLE_MIN


def _explicit(evidence: Evidence, options: Options) -> Time:
    columns = options.time_columns
    if options.time_formats:
        return _resolved(Candidate(columns, "pattern", 0, 0), evidence, options)
    parts = [evidence.columns[name] for name in columns]
    if len(parts) > 2:
        kind = "parts"
    elif len(parts) == 2:
        kind = "text"
        if parts[0].share(time_cells.may_be_clock) > parts[1].share(time_cells.may_be_clock):
            columns = columns[::-1]
        date, clock = (evidence.columns[name] for name in columns)
        if date.share(time_cells.has_date) < 0.5 or clock.share(time_cells.may_be_clock) < 0.5:
            raise _unreadable(date if date.share(time_cells.has_date) < 0.5 else clock)
    else:
        kind = _kind(parts[0], options, is_named=True, least=0.5) or ""
        if not kind:
            raise _unreadable(parts[0])
    return _resolved(Candidate(columns, kind, 0, 0), evidence, options)


def _candidates(columns: list[Column], options: Options) -> list[Candidate]:
    found = _parts(columns)
    dates: list[Candidate] = []
    clocks: list[Candidate] = []
    for column in columns:
        rank = names.time_rank(column.name)
        kind = _kind(column, options, is_named=rank is not None or time_start.is_duration(column))
        if kind is None:
            continue
        each = Candidate((column.name,), kind, _UNNAMED if rank is None else rank, column.filled)
        is_date_only = kind == "text" and column.share(time_cells.has_clock) < 0.5
        (dates if is_date_only else clocks if kind == "clock" else found).append(each)
    parts = _series(columns, _CLOCK)
    dotted = [
        Candidate((c.name,), "clock", 0, c.filled)
        for c in columns
        if dates and names.time_rank(c.name) is not None and c.share(time_cells.is_compact_clock) > 0.9
        and c.name != dates[0].columns[0]
    ]  # fmt: skip
    for clock in (clocks or dotted)[:1]:
        for date in dates[:1]:
            both = (*date.columns, *clock.columns)
            found.append(Candidate(both, "text", min(date.rank, clock.rank), date.filled))
            return found
    if dates and parts and parts[0].share(time_cells.is_hour) == 1.0:
        both = (*dates[0].columns, *(part.name for part in parts))
        return [*found, Candidate(both, "text", dates[0].rank, dates[0].filled)]
    if any(not _is_relative(candidate) for candidate in (*found, *dates)):
        found = [c for c in found if c.rank < _UNNAMED or not _is_relative(c)]
    named_clocks = [clock for clock in clocks if clock.rank < _UNNAMED]
    return [*found, *dates, *named_clocks]


def _parts(columns: list[Column]) -> list[Candidate]:
    """The columns year, month, day, and hour, minute, second if there are such."""
    found = _series(columns, (vocabulary.YEARS, vocabulary.MONTHS, vocabulary.DAYS, *_CLOCK))
    if len(found) < 3:
        return []
    return [Candidate(tuple(c.name for c in found), "parts", 0, found[0].filled)]


def _series(columns: list[Column], vocabularies: tuple[dict[str, int], ...]) -> list[Column]:
    """A column of numbers for each of these vocabularies, until there is none."""
    found: list[Column] = []
    for words in vocabularies:
        ranked = [
            (rank, n)
            for n, column in enumerate(columns)
            if column not in found
            and (rank := names.rank(column.name, words)) is not None
            and column.share(time_cells.is_part) > READABLE_MIN
        ]
        if not ranked:
            break
        found.append(columns[min(ranked)[1]])
    return found


def _kind(
    column: Column, options: Options, *, is_named: bool, least: float = READABLE_MIN
) -> str | None:
    """How the cells of a column could be the time, or None."""

    def is_epoch(cell: str) -> bool:
        since_ms = time_cells.epoch_ms(cell)
        return since_ms is not None and options.oldest_ms <= since_ms < _LATEST_MS

    if not column.filled:
        return None
    is_text = time_cells.has_date if is_named else time_cells.is_text_time
    if column.share(time_cells.has_date) >= least and column.share(is_text) >= least:
        return "text"
    if column.share(is_epoch) >= least and not column.share(time_cells.is_long_compact) >= least:
        is_certain = is_named or column.low >= 5e9
        return "epoch" if is_certain and not names.is_identifier(column.name) else None
    is_digits = column.share(str.isdecimal) > 0.5  # a clock only beside a date
    kinds = (
        ("text", column.share(time_cells.is_long_compact) >= least),
        ("clock", not is_digits and column.share(time_cells.is_clock) >= least),
        ("elapsed", is_named and column.low >= 0 and column.share(time_cells.is_number) >= least),
    )
    return next((kind for kind, applies in kinds if applies), None)


def _refuse_unreadable(columns: list[Column], found: list[Candidate], options: Options) -> None:
    """Refuse a column that is the time by its name if it cannot be read, and none ranks better."""
    if options.time_formats and len(options.time_columns) == 0:
        raise Misconfigured("--time-format needs the column: add --time-column COLUMN")
    known = {name for candidate in found for name in candidate.columns}
    best = min((c.rank for c in found if not _is_relative(c)), default=_UNNAMED)
    for column in columns:
        rank = names.time_rank(column.name)
        if rank is None or column.name in known or rank >= min(best, _STRONG):
            continue
        if column.filled:
            raise _unreadable(column)


def _refuse_doubt(best: Candidate, found: list[Candidate], evidence: Evidence) -> None:
    distinct = evidence.columns[best.columns[-1]].distinct
    is_constant = distinct is not None and len(distinct) == 1 and evidence.rows > 1
    for other in found:
        differs = other.columns[-1] != best.columns[0]
        if is_constant and differs and len(best.columns) == 1 and _is_relative(other):
            raise Misconfigured(
                f"{best.columns[0]} is the same in all rows, but {other.columns[-1]} changes; name "
                "the time with --time-column, and what it counts from with --start"
            )


def _resolved(candidate: Candidate, evidence: Evidence, options: Options) -> Time:
    """The time as it is read: its order, zone, unit and start."""
    columns = [evidence.columns[name] for name in candidate.columns]
    kind, patterns = candidate.kind, options.time_formats
    if patterns and kind != "pattern" and not options.time_columns:
        kind = "pattern"
    example = " ".join(column.example or "" for column in columns)
    time = Time(candidate.columns, kind, example=example, patterns=patterns)
    if (
        kind == "pattern"
        and len(patterns) == 1
        and patterns[0] in (*time_start.UNITS_MS, "epoch", "excel")
    ):
        word = patterns[0]
        time = time._replace(
            kind="elapsed", unit_ms=time_start.UNITS_MS.get(word, 0.0), patterns=()
        )
        if word in ("epoch", "excel"):
            time = time._replace(kind=word)
    if time.kind == "text":
        is_ordered = bool(columns[0].triples)
        time = time._replace(order=time_order.order_of(columns[0], options), is_ordered=is_ordered)
        if len(columns) == 1 and not options.time_columns:
            _refuse_midnight(columns[0], evidence)
    if time.kind in ("elapsed", "clock"):
        if not time.unit_ms:
            time = time._replace(
                unit_ms=time_start.unit_ms(columns[0], evidence, time.kind, options)
            )
        if options.start is not None:
            time = time._replace(start_ms=time_start.start_ms(options))
    if time.kind in ("text", "parts", "pattern", "excel"):
        time = time._replace(zone=zones.choose(time, evidence, options))
    return time._replace(mark="," if time_cells.has_comma(columns[0]) else ".")


def _with_half_day(candidate: Candidate, evidence: Evidence) -> Candidate:
    """The candidate with the column that has its AM and PM, if there is one."""
    if candidate.kind != "text":
        return candidate
    for column in evidence.columns.values():
        if column.name not in candidate.columns and column.share(time_cells.is_half_day) == 1.0:
            return candidate._replace(columns=(*candidate.columns, column.name))
    return candidate


def _refuse_midnight(column: Column, evidence: Evidence) -> None:
    """Refuse dates without a clock if another column may have it, or if they repeat."""
    if column.share(time_cells.is_midnight) < 1.0 or column.distinct is None:
        return
    for other in evidence.columns.values():
        is_named = names.time_rank(other.name) is not None
        is_clock = not other.share(time_cells.has_date)
        if is_named and other is not column and other.filled and is_clock:
            raise Misconfigured(
                f"{column.name} has dates without a time of day, and {other.name} "
                f"({other.example!r:.40}) may have it; give --time-column {column.name!r} "
                f"--time-column {other.name!r} and --time-format, or only the first"
            )
    others = [
        len(other.distinct)
        for other in evidence.columns.values()
        if other is not column and other.distinct is not None and other.share(time_cells.is_number) < 0.5
        and len(other.distinct) > 1
    ]  # fmt: skip
    if column.filled > len(column.distinct) * max(others, default=1):
        raise Misconfigured(
            f"{column.name} has dates without a time of day, and they repeat; name the columns of "
            f"date and time with --time-column A --time-column B, or {time_start.HINT}"
        )


def _unreadable(column: Column) -> Misconfigured:
    cell = next((cell for cell in column.cells() if not time_cells.has_date(cell)), column.example)
    if cell and names.time_rank(cell) is not None:
        return Misconfigured(SEVERAL_TABLES.format(f"{column.name}: {cell!r}"))
    return Misconfigured(
        f"{column.name}: {cell!r:.60} is not a time in a known notation; give its notation with "
        f"--time-format (%d %m %Y %H %M %S), another column with --time-column, or {time_start.HINT}"
    )


def _is_relative(candidate: Candidate) -> bool:
    return candidate.kind in ("elapsed", "clock")
