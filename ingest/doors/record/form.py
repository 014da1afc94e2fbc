"""One reading as the fields of a form or of a query string: `device=esp32&temperature=23.5`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from ingest.doors.record import json_text, other_doors
from tributary.errors import Refused
from tributary.model import reading

FIELDS_MAX = 256
_BOOLEANS = {"true": True, "false": False}
# A `+` that was not encoded as %2B is decoded to a space.
_LOST_PLUS = re.compile(r"(\d[Tt]\d[\d:.]*) (\d\d:?\d\d)")


def item(body: bytes) -> dict[str, Any]:
    """The fields of a form as the members of a reading.

    Raises:
        Refused: 400 if it is not a form, 422 for too many fields or a form of another door.
    """
    other_doors.check_text(body)
    if body.count(b"&") >= FIELDS_MAX:
        raise Refused(
            f"{body.count(b'&') + 1} fields in the form; send at most {FIELDS_MAX}",
            status=422,
            code="too_many_fields",
        )
    try:
        pairs = parse_qsl(
            body.decode().strip(), keep_blank_values=True, strict_parsing=True, errors="strict"
        )
    except UnicodeError as error:
        raise Refused(f"the form is not UTF-8: {error}", status=400, code="bad_encoding") from None
    except ValueError:
        raise Refused(
            "the body is neither JSON nor a form; send an object like "
            '{"temperature": 23.5}, or fields like temperature=23.5&humidity=40',
            status=400,
            code="not_json",
        ) from None
    return from_fields(json_text.unique(pairs))


def from_fields(fields: Mapping[str, str], skipped: Iterable[str] = ()) -> dict[str, Any]:
    """The members of a reading, from decoded fields other than those to be skipped.

    Raises:
        Refused: 422, they are those of another door.
    """
    other_doors.check_form(fields)
    return {name: _value(name, text) for name, text in fields.items() if name not in skipped}


def _value(name: str, text: str) -> str | bool:
    if name in reading.TIME_FIELDS:
        return _LOST_PLUS.sub(r"\1+\2", text)
    return _BOOLEANS.get(text, text)
