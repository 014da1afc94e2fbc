"""Finds the device of the rows: an option, a column, or the default if nothing divides them."""

from __future__ import annotations

from tributary.errors import Misconfigured
from tributary.load import names, time_cells, time_role, vocabulary
from tributary.load.evidence import DEVICES_MAX, Column, Evidence
from tributary.load.plan import Device, Options, Time
from tributary.model import reading

_REPEATED_MAX = 0.8  # above this share of distinct times, rows of one time are exceptions
_UNIQUE_MIN = 5  # from here on, sentences that differ in every row are not devices
_OTHER_ROLES = (vocabulary.UNITS, vocabulary.ZONES)
_NAMES_SHOWN = 4


def choose(evidence: Evidence, options: Options, stem: str, taken: set[str]) -> Device:
    """The device of the rows.

    Raises:
        Misconfigured: a column may be the device, two are, or names would be merged.
    """
    if options.device is not None:
        return Device(options.device, note="--device")
    if options.device_from_filename:
        name = names.device(stem)
        if not name:
            raise Misconfigured(f"{stem!r} has no valid device name; give --device NAME")
        return Device(name, note="from the name of the file")
    if options.device_column is not None:
        return _column(evidence.columns[options.device_column])
    free = [c for c in evidence.columns.values() if c.name not in taken and c.filled]
    ranked = sorted(
        ((rank, n) for n, c in enumerate(free) if (rank := names.device_rank(c.name)) is not None)
    )
    candidates = [free[n] for _, n in ranked if _may_be_device(free[n])]
    for column in () if candidates else (free[n] for _, n in ranked):
        if column.distinct and all(cell.endswith(".0") for cell in column.distinct):
            raise Misconfigured(
                f"{column.name} ({column.example}, …) may be the device, although its numbers have "
                f"decimals; name it with --device-column {column.name!r}, or give --device NAME"
            )
    if candidates:
        best = candidates[0]
        for other in candidates[1:]:
            if _divides(best, other, evidence):
                raise Misconfigured(
                    f"{best.name} and {other.name} may both be the device: the first has several "
                    "of the second; choose with --device-column, or give --device NAME"
                )
        return _column(best)
    _refuse_merging(free)
    return Device(note="no column contains it (--device, --device-column)", is_default=True)


def _may_be_device(column: Column) -> bool:
    if time_role.looks_like_time(column):
        return False
    is_measured = any("." in shape or "," in shape for shape in column.shapes)
    return not (is_measured and column.share(time_cells.is_number) > 0.5)


def _column(column: Column) -> Device:
    """The device by a column, with valid names for those that are not."""
    if column.distinct is None:
        if column.share(reading.is_device) < 1.0:
            raise Misconfigured(
                f"{column.name} has more than {DEVICES_MAX} names, some of them invalid; choose "
                "another --device-column, or give --device NAME"
            )
        return Device("", column.name, {}, column.example or "")
    renamed: dict[str, str] = {}
    by_name: dict[str, str] = {}
    for written in column.distinct:
        name = names.device(written)
        if not name:
            raise Misconfigured(
                f"{column.name}: {written!r:.60} has no valid device name; use "
                f"{reading.DEVICE_RULE}, or give --device NAME"
            )
        if by_name.setdefault(name, written) != written:
            raise Misconfigured(
                f"{column.name}: {by_name[name]!r:.60} and {written!r:.60} would both become the "
                f"device {name}; rename one in the file, or give --device NAME"
            )
        if name != written:
            renamed[written] = name
    return Device("", column.name, renamed, column.example or "", _shown(column.distinct, renamed))


def _shown(distinct: dict[str, None], renamed: dict[str, str]) -> str:
    shown = [
        f"{written} → {renamed[written]}" if written in renamed else written
        for written in list(distinct)[:_NAMES_SHOWN]
    ]
    more = len(distinct) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _divides(first: Column, second: Column, evidence: Evidence) -> bool:
    """Whether rows of one device in the first column differ in the second."""
    if second.distinct is not None and len(second.distinct) == 1:
        return False
    a, b = evidence.position(first.name), evidence.position(second.name)
    pairs = {(row[a], row[b]) for row in evidence.sample if row[a] and row[b]}
    return len(pairs) > len({pair[0] for pair in pairs})


def _refuse_merging(columns: list[Column]) -> None:
    """Refuse to merge rows that a column of words or codes may divide into devices."""
    for column in columns:
        if _divides_rows(column) or _has_codes(column):
            shown = ", ".join(list(column.distinct or ())[:3])
            raise Misconfigured(
                f"{column.name} ({shown}, …) may be the device; if so, name it with "
                f"--device-column {column.name!r}, or with --metric-column if it names the metric; "
                f"else give --device NAME, or leave it out with --map '{column.name}='"
            )


def refuse_mixture(device: Device, time: Time, evidence: Evidence, options: Options) -> None:
    """Refuse rows of one device and time that only a column of words or codes tells apart.

    Raises:
        Misconfigured: they would be merged into one series.
    """
    if options.device or options.device_from_filename or options.device_column:
        return
    known = [evidence.position(name) for name in (*time.columns, device.column) if name]
    rows = evidence.head
    keys = {tuple(row[n] for n in known) for row in rows}
    if len(keys) > len(rows) * _REPEATED_MAX:
        return
    for column in evidence.columns.values():
        at = evidence.position(column.name)
        if at in known or column.name in options.names:
            continue
        distinct = {(*(row[n] for n in known), row[at]) for row in rows}
        may_divide = _divides_rows(column) or _has_codes(column) or _repeats(column)
        if len(distinct) == len(rows) and may_divide:
            raise Misconfigured(
                f"rows of the same time differ in {column.name}; give each its own device with "
                f"--device-column {column.name!r}, or merge them with --map '{column.name}='"
            )


def _has_codes(column: Column) -> bool:
    """Whether a column has whole numbers that may be names of devices."""
    if column.distinct is None or len(column.distinct) < 2 or column.share(str.isdecimal) < 1.0:
        return False
    is_unique = len(column.distinct) == column.filled
    is_counter = is_unique and (column.filled >= _UNIQUE_MIN or names.is_row_number(column.name))
    return names.is_category(column.name) and not is_counter


def _repeats(column: Column) -> bool:
    """Whether a column has a few whole numbers that repeat, and does not measure a quantity."""
    if column.distinct is None or column.share(str.isdecimal) < 1.0:
        return False
    return 1 < len(column.distinct) <= column.filled / 2 and not names.is_quantity(column.name)


def _divides_rows(column: Column) -> bool:
    """Whether a column has words that may be names of devices."""
    if column.distinct is None or len(column.distinct) < 2 or column.share(_is_word) < 0.5:
        return False
    name = names.bare(column.name)
    words = {cell.lower() for cell in column.distinct}
    is_unique = len(column.distinct) == column.filled
    is_many = column.filled >= _UNIQUE_MIN
    return not (
        (is_unique and is_many and names.is_identifier(column.name))
        or (is_unique and names.is_row_number(column.name))
        or (is_unique and len(words) >= _UNIQUE_MIN and any(" " in word for word in words))
        or (vocabulary.DESCRIPTIONS.fullmatch(name))
        or any(names.rank(column.name, ranks) is not None for ranks in _OTHER_ROLES)
        or names.time_rank(column.name) is not None
        or (names.is_quantity(column.name) and column.share(time_cells.is_number) > 0)
        or time_role.looks_like_time(column)
        or words <= vocabulary.STATES | vocabulary.TRUE | vocabulary.FALSE
    )


def _is_word(cell: str) -> bool:
    return not time_cells.is_number(cell)
