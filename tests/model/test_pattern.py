"""Patterns of device names, compared with brute force over all short names."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tributary.model import pattern

NAMES = ["".join(letters) for n in range(6) for letters in itertools.product("ab", repeat=n)]
PATTERNS = st.text("ab*", min_size=1, max_size=6)


def naive(text: str) -> re.Pattern[str]:
    return re.compile(re.escape(text).replace(r"\*", ".*"))


@given(PATTERNS)
def test_covers_what_a_regular_expression_covers(text: str):
    covered, expected = pattern.compiled(text), naive(text)
    assert [n for n in NAMES if covered.fullmatch(n)] == [n for n in NAMES if expected.fullmatch(n)]


@given(st.text("ab*", min_size=1, max_size=4), st.text("ab*", min_size=1, max_size=4))
def test_two_patterns_overlap_if_a_name_is_in_both(one: str, other: str):
    # Two patterns of this length have a common name of at most eight letters, if any.
    names = ("".join(x) for n in range(9) for x in itertools.product("ab", repeat=n))
    both = any(naive(one).fullmatch(name) and naive(other).fullmatch(name) for name in names)
    assert pattern.overlap(one, other) is pattern.overlap(other, one) is both


@pytest.mark.parametrize("text", ["*", "car-*/x", "a" * 128])
def test_valid_patterns(text: str):
    assert pattern.is_pattern(text)


@pytest.mark.parametrize("text", ["", "a b", "a{", "a\n", "a" * 129])
def test_invalid_patterns(text: str):
    assert not pattern.is_pattern(text)


def test_the_pattern_of_a_client_cannot_take_long():
    hostile, name = "*a" * 64, "a" * 127 + "b"
    began_s = time.process_time()
    assert pattern.compiled(hostile).fullmatch(name) is None
    assert time.process_time() - began_s < 5  # with backtracking, longer than the universe exists
