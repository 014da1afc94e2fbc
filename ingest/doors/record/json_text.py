"""Decodes JSON that clients send: strict about names, tolerant about what stands for no value."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any

from ingest.doors.record import validate
from tributary.errors import Refused
from tributary.model import reading

# Numbers that their double may not represent closely enough for `reading.time_ms`.
HAS_MANY_DIGITS = re.compile(rb"\.[0-9]{7}|[0-9][eE]-").search
BOM = b"\xef\xbb\xbf"
_IS_FORM = re.compile(rb"[A-Za-z_][A-Za-z0-9_.]{0,63}=[^=\s]{0,200}(?:&|\s*\Z)").match
_HAS_NAN = re.compile(r"nan|inf", re.IGNORECASE).search
# A string, or what the printf of C writes for a double that is not finite.
_STRING_OR_NAN = re.compile(
    r'"(?:[^"\\]++|\\.)*+"?|-?\b(?:nan|inf(?:inity)?)\b', re.IGNORECASE | re.DOTALL
)


def load(body: bytes) -> Any:
    """Decode any JSON value: UTF-8, unique names, finite numbers; NaN and Infinity are null.

    Raises:
        Refused: 400 with the position of the error.
    """
    try:
        text = body.decode().removeprefix("\ufeff")
        exact = HAS_MANY_DIGITS(body) is not None
        try:
            return _decode(text, exact=exact)
        except ValueError:
            if _HAS_NAN(text) is None:
                raise
            written = _STRING_OR_NAN.sub(lambda m: m[0] if m[0][0] == '"' else "null", text)
            if written == text:
                raise
            return _decode(written, exact=exact)
    except UnicodeError as error:
        raise Refused(f"the body is not UTF-8: {error}", status=400, code="bad_encoding") from None
    except RecursionError:
        raise validate.wrong_shape("the JSON is nested too deeply") from None
    except ValueError as error:
        raise Refused(_problem(body, error), status=400, code="not_json") from None


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of these members.

    Raises:
        Refused: 400 for a duplicate name.
        UnicodeError: a name with a lone surrogate.
    """
    value = dict(pairs)
    if len(value) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise duplicate_name(next(name for name, count in counts.items() if count > 1))
    for name in value:
        name.encode()  # UnicodeEncodeError for a lone surrogate
    return value


def duplicate_name(name: str) -> Refused:
    """400 for a name that occurs twice."""
    return Refused(
        f"duplicate name {name!r:.80}; send it once",
        status=400,
        code="duplicate_name",
        field=name[:80],
    )


def _decode(text: str, *, exact: bool) -> Any:
    return json.loads(
        text,
        object_pairs_hook=unique,
        parse_constant=lambda _: None,
        parse_int=_integer,
        parse_float=reading.Written if exact else None,
    )


def _problem(body: bytes, error: ValueError) -> str:
    if not body.strip():
        return (
            "the body is empty: no Content-Length, or one of 0; send a reading like "
            '{"temperature": 23.5}, with its size in bytes as Content-Length'
        )
    if _IS_FORM(body) is not None:
        return "the body is a form; send it with Content-Type: application/x-www-form-urlencoded"
    return f"the body is not JSON: {error}"


def _integer(digits: str) -> float:
    return int(digits) if len(digits) < 400 else math.inf
