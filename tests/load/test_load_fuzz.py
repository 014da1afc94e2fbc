"""Any file is loaded or refused with a message; random dialects are never read wrongly."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from load.dialects import generate
from load.variants import judge
from support.datasets import read

from tributary.errors import Misconfigured

CELLS = st.sampled_from(
    ["", "time", "2025-11-25", "15:22", "01/02/2025", "1763805600", "1.234", "1,5", "-999", "21 °C",
     "on", "device", "Küche", "value", "unit", "°F", "\0", '"', "\ud83d\ude00", "9" * 400, "1e999",
     "#", "sep=;", "{", "year", "hour", "NaN", "٣", "12:00 PM", "45935.5"]
)  # fmt: skip
TABLES = st.lists(st.lists(CELLS | st.text(max_size=9), max_size=5), max_size=12)


def loaded(data: bytes, **options: object) -> None:
    with contextlib.suppress(Misconfigured):
        for row in read(data, **options):
            assert row.reading is None or row.reading["device"]


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes):
    loaded(data)


@given(TABLES, st.sampled_from(",;\t| "), st.sampled_from(["utf-8", "utf-16", "cp1252"]))
def test_any_table(cells: list[list[str]], delimiter: str, charset: str):
    text = "\n".join(delimiter.join(row) for row in cells)
    loaded(text.encode(charset, "replace"))
    loaded(b"time,v\n2025-11-25T15:22:01Z,1\n" + text.encode(charset, "replace"))
    loaded(text.encode(charset, "replace"), time_columns=("none",), device="x")


@given(st.binary(max_size=200))
def test_any_ndjson(data: bytes):
    loaded(b'{"time":"2025-11-25T15:22:01Z","speed":1}\n' + data)


@pytest.mark.parametrize("seed", range(60))
def test_random_dialects_are_read_right_or_refused_with_an_option(seed: int):
    case = generate(seed)
    verdict, reason = judge(case)
    assert verdict in ("right", "refused"), f"{case.dialect}: {reason}"
