"""One line of the InfluxDB line protocol.

    measurement[,tag=value…] field=value[,field=value…] [timestamp]

The grammar and the reasons of errors are those of InfluxDB 1.x, tried with its server; in
addition, a field may not occur twice in a line, and a carriage return before a line end is ignored.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple, NoReturn

from ingest.doors.influx import names
from ingest.limits import Rules
from tributary.errors import Refused

LINE_ERROR = "invalid_line"
_SHOWN_MAX = 120  # characters of a line in an error
_SHOWN_VALUE = 40
_HEAD = re.compile(rb"(?:[^ ]|(?<=\\) )*")
_FIELD = re.compile(rb'((?:[^\\=, ]|\\.)+)=("(?:[^"\\]|\\.)*+"|[^", ]*)', re.DOTALL)
_COMMA = re.compile(rb"(?<!\\),")
_EQUALS = re.compile(rb"(?<!\\)=")
_ESCAPED = re.compile(rb"\\([,= ])")
# A line of a body that contains quotes: a line end in a string does not end the line.
_QUOTED_LINE = re.compile(
    rb'(?:[^ \n\\]|\\[^\n]?)*+(?: (?:[^\n"\\=]|="(?:[^"\\]|\\.)*+"|=(?!")|(?<!=)"|\\.)*+)?',
    re.DOTALL,
)
_NUMBER = re.compile(rb"(-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)|(-?[0-9]+i)|([0-9]+u)")
_TIMESTAMP = re.compile(rb"-?[0-9]{1,19}")
_BOOLEANS = {
    **dict.fromkeys((b"t", b"T", b"true", b"True", b"TRUE"), 1.0),
    **dict.fromkeys((b"f", b"F", b"false", b"False", b"FALSE"), 0.0),
}
_INT64, _UINT64 = 2**63, 2**64


class Head(NamedTuple):
    """What measurement and tags say."""

    device: str
    partition: int
    measurement: str


class Point(NamedTuple):
    """A parsed line; `strings` is the number of its fields that are text, which are left out."""

    head: bytes
    fields: tuple[bytes, ...]
    values: list[float]
    timestamp: int | None
    strings: int


def split(body: bytes) -> list[bytes]:
    """The lines of a body, with empty ones and comments, so that indices are line numbers."""
    if b'"' not in body:
        return body.split(b"\n")
    lines, at = [], 0
    while True:
        match = _QUOTED_LINE.match(body, at)
        assert match is not None  # it may be empty
        end = match.end()
        if end == len(body) or body[end] != ord("\n"):  # or a string that does not end
            lines.append(body[at:])
            return lines
        lines.append(body[at:end])
        # Line ends in strings count, so that numbers are those of an editor.
        lines.extend([b""] * body.count(b"\n", at, end))
        at = end + 1


def parse(line: bytes) -> Point:
    """Parse a line.

    Raises:
        ValueError: the reason.
    """
    matched = _HEAD.match(line)
    assert matched is not None  # it may be empty
    head, at = matched[0], matched.end()
    while line[at : at + 1] == b" ":
        at += 1
    if at == len(line):
        measurement_and_tags(head)
        raise ValueError("missing fields")
    found: dict[bytes, float] = {}
    seen: set[bytes] = set()
    while True:
        field = _FIELD.match(line, at)
        if field is None:
            _reject_field(line[at:])
        name, text = field.groups()
        if name in seen:
            raise ValueError(f"duplicate field {_text(name)}")
        seen.add(name)
        at = field.end()
        after = line[at : at + 1]
        if after == b'"' and not text:
            raise ValueError(f"unbalanced quotes in {_text(name)}")
        if text[:1] != b'"':
            found[name] = number(name, text)
        at += 1
        if after != b",":
            break
    if after not in (b" ", b""):
        raise ValueError(f"invalid field format after {_text(field[0])}")
    timestamp = _timestamp(line[at:].strip(b" "))
    return Point(head, tuple(found), [*found.values()], timestamp, len(seen) - len(found))


def parse_head(head: bytes, rules: Rules) -> Head:
    """Parse measurement and tags.

    Raises:
        ValueError: the reason.
        Refused: the device is not valid.
    """
    measurement, tags = measurement_and_tags(head)
    device = names.device(tags)
    return Head(device, rules.devices[device], measurement)


def number(name: bytes, text: bytes) -> float:
    """The value of a field that is not a string.

    Raises:
        ValueError: the reason.
    """
    boolean = _BOOLEANS.get(text)
    if boolean is not None:
        return boolean
    match = _NUMBER.fullmatch(text)
    if match is None:
        if not text:
            raise ValueError(f"missing field value of {_text(name)}")
        kind = "number" if text[:1].isdigit() or text[:1] in b"-.nN" else "boolean"
        raise ValueError(
            f"invalid {kind} {_text(name)}={_text(text)}; send a number, 1i, true or a quoted string"
        )
    if match[1]:
        value = float(text)
        if math.isfinite(value):
            return value
    elif len(text) <= len("-9223372036854775808i"):
        integer = int(text[:-1])
        if -_INT64 <= integer < (_INT64 if match[2] else _UINT64):
            return float(integer)
    raise ValueError(f"{_text(name)}={_text(text)} is out of range")


def invalid(line: bytes, index: int, reason: str) -> Refused:
    """The rejection of a line; its field is the line, its message the reason."""
    return Refused(reason, status=400, code=LINE_ERROR, field=shown(line), index=index)


def shown(line: bytes) -> str:
    """A line in an error."""
    text = line[: 4 * _SHOWN_MAX].decode("utf-8", "replace")
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 1] + "…"


def decoded(name: bytes) -> str:
    """A measurement, tag or field without its escapes.

    Raises:
        ValueError: not UTF-8.
    """
    if b"\\" in name:
        name = _ESCAPED.sub(rb"\1", name)
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{_text(name)} is not UTF-8") from None


def measurement_and_tags(head: bytes) -> tuple[str, dict[str, str]]:
    """The parts of a head, without escapes.

    Raises:
        ValueError: the reason.
    """
    measurement, *given = _COMMA.split(head)
    if not measurement:
        raise ValueError("missing measurement")
    tags: dict[str, str] = {}
    for tag in given:
        key, *values = _EQUALS.split(tag)
        if not key:
            raise ValueError("missing tag key")
        if not values or not values[0]:
            raise ValueError(f"missing tag value of {_text(key)}")
        if len(values) > 1:
            raise ValueError(f"invalid tag format {_text(tag)}; escape = as \\=")
        name = decoded(key)
        if name in tags:
            raise ValueError(f"duplicate tags {name}")
        tags[name] = decoded(values[0])
    return decoded(measurement), tags


def _reject_field(rest: bytes) -> NoReturn:
    if rest[:1] == b"=":
        raise ValueError("missing field key")
    raise ValueError(f"invalid field format {_text(rest)}; send field=value")


def _timestamp(text: bytes) -> int | None:
    if not text:
        return None
    if _TIMESTAMP.fullmatch(text) is None:
        raise ValueError(f"bad timestamp {_text(text)}; send one integer, or none")
    return int(text)


def _text(part: bytes) -> str:
    return part[: 4 * _SHOWN_VALUE].decode("utf-8", "replace")[:_SHOWN_VALUE]
