"""Line protocol against an independent parser, columns against single lines, and any bytes."""

from __future__ import annotations

from typing import Any

import line_protocol_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.influx_lines import NOW_NS, Row, parse

from ingest.doors.influx import line as line_parser
from ingest.doors.influx import regular

_BAD = ["a", "a f", "a f=x", "a f=1,f=2", "a f=1 x", "a f=1=2,3", "a,b f=1", "a f=1e999"]
_PLAIN = st.text(
    st.characters(codec="utf-8", exclude_characters='\n\r\t\0\\"#,= '), min_size=1, max_size=8
)
_NAMES = st.one_of(
    st.sampled_from(["a", "b", "device", "host"]), _PLAIN, st.builds("{} {}".format, _PLAIN, _PLAIN)
)
_NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False).map(repr),
    st.integers(-(2**63), 2**63 - 1).map("{}i".format),
    st.sampled_from(["t", "F", "true", "False", "1.", ".5", "-0", "1e3", "007"]),
)  # fmt: skip
_STRINGS = st.text(st.characters(codec="utf-8", exclude_characters='\n\0\\"'), max_size=8).map(
    '"{}"'.format
)


def escaped(name: str) -> str:
    for character in ",= ":
        name = name.replace(character, "\\" + character)
    return name


@st.composite
def lines(draw: st.DrawFn, *, names: st.SearchStrategy[str] = _NAMES) -> str:
    tags = draw(st.dictionaries(names, names, max_size=3))
    fields = draw(st.dictionaries(names, st.one_of(_NUMBERS, _STRINGS), min_size=1, max_size=3))
    head = "".join(
        [draw(names).replace(" ", "\\ "), *(f",{escaped(k)}={escaped(v)}" for k, v in tags.items())]
    )
    time = draw(st.sampled_from(["", f" {NOW_NS}", f" {NOW_NS - 1}"]))
    return f"{head} {','.join(f'{escaped(k)}={v}' for k, v in fields.items())}{time}"


@given(lines())
def test_another_parser_finds_the_same(line: str):
    expected: dict[str, Any] = line_protocol_parser.parse_line(line)
    point = line_parser.parse(line.encode())
    head = line_parser.measurement_and_tags(point.head)
    numbers = {k: float(v) for k, v in expected["fields"].items() if not isinstance(v, str)}
    assert head == (expected["measurement"], expected["tags"])
    assert dict(zip(map(line_parser.decoded, point.fields), point.values, strict=True)) == numbers
    assert point.strings == len(expected["fields"]) - len(numbers)
    assert point.timestamp == (expected["time"] if line.endswith(("0000", "9999")) else None)


_SIMPLE = st.sampled_from(["a", "b", "cab", "value", "x-y"])
_TEMPLATES = st.sampled_from(
    ["{m},device={d} {f}={v} {t}", "{m} {f}={v},{g}={w}", "{m},host={d},z=1 {f}={v},{g}={w} {t}"]
)


@st.composite
def bodies(draw: st.DrawFn) -> str:
    """Mostly uniform: often one template and one name of each, sometimes something else."""
    template, m, f, g = draw(_TEMPLATES), draw(_SIMPLE), draw(_SIMPLE), draw(_SIMPLE)
    vary = draw(st.booleans())
    made = []
    for _ in range(draw(st.integers(9, 14))):
        if vary and draw(st.integers(0, 9)) == 0:
            made.append(draw(st.one_of(lines(), st.sampled_from([*_BAD, "", "# x", "a f=1 "]))))
            continue
        if vary and draw(st.integers(0, 9)) == 0:
            f, g, m = draw(_SIMPLE), draw(_SIMPLE), draw(_SIMPLE)
        values = [draw(st.one_of(_NUMBERS, st.integers(0, 99).map(str))) for _ in range(2)]
        time = draw(st.sampled_from([NOW_NS, NOW_NS - 10**9, NOW_NS + 10**9]))
        made.append(
            template.format(m=m, f=f, g=g, d=draw(_SIMPLE), v=values[0], w=values[1], t=time)
        )
    return "\n".join(made) + draw(st.sampled_from(["", "\n"]))


@given(bodies(), st.sampled_from([regular.LINES_MIN, regular.GATHERED_MIN]))
def test_columns_contain_what_single_lines_do(text: str, gathered_min: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regular, "GATHERED_MIN", gathered_min)
        found, errors = parse(text)
    single: tuple[dict[int, list[Row]], dict[int, str]] = ({}, {})
    given = text.split("\n")
    parsed = {line: parse(line) for line in set(given)}
    for index, line in enumerate(given):
        readings, reasons = parsed[line]
        single[0].update(dict.fromkeys([index] * len(readings), readings.get(0, [])))
        single[1].update(dict.fromkeys([index] * len(reasons), reasons.get(0, "")))
    assert (found, errors) == single


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(content: bytes):
    parse(content * 3)
    parse(b"\n".join([b"a,device=b f=" + content[:20]] * 10))
