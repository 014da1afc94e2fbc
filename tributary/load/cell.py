"""Cells of records, text in CSV and any JSON value in NDJSON, as numbers or times."""

from __future__ import annotations

from typing import Any

from tributary.load import text
from tributary.load.text import Format, Number
from tributary.model import reading

Cell = Any

_KINDS = {bool: "true or false", list: "an array", dict: "an object", type(None): "null"}


def is_missing(value: Cell) -> bool:
    """Whether a cell means that there is no value."""
    return value is None or (isinstance(value, str) and text.is_missing(value))


def number(value: Cell, mark: str) -> Number:
    """A cell as a number; `mark` is the decimal mark of ambiguous text.

    Raises:
        ValueError: it is not a number.
    """
    if isinstance(value, str):
        return text.number(value, mark)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{kind(value)} is not a number")  # noqa: TRY004 (an invalid value, not a bug)
    try:
        return Number(float(value), "")
    except OverflowError:
        raise ValueError(f"{str(value)[:20]}… is too large for a number") from None


def time_ms(value: Cell, form: Format, mark: str) -> int:
    """A cell as UTC epoch milliseconds.

    Raises:
        ValueError: it does not have this format, or is before 1970 or after 9999.
    """
    if isinstance(value, str):
        return text.time_ms(value, form, mark)
    number(value, mark)
    if form != text.EPOCH:
        raise ValueError(f"{value!r} is not {form.name}")
    return text.in_range_ms(reading.time_ms(value), value)


def kind(value: Cell) -> str:
    """The kind of a value that is neither text nor number, for messages."""
    return _KINDS.get(type(value), type(value).__name__)
