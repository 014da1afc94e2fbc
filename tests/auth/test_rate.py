"""The generic cell rate algorithm: a burst, a rate, and no edge to be used twice."""

from __future__ import annotations

import random

import pytest

from tributary.auth import rate
from tributary.auth.rate import Rate

NOW_S = 1_000_000.0


def passed(limit: Rate, name: str, at_s: float, events: int = 1) -> bool:
    if limit.wait_s(name, events, at_s) > 0:
        return False
    limit.count(name, events, at_s)
    return True


def test_zero_is_no_limit():
    assert all(passed(Rate(0), "a", NOW_S, 10**9) for _ in range(3))


def test_a_burst_of_one_second_passes_at_once_and_not_one_more():
    limit = Rate(10)
    assert [passed(limit, "a", NOW_S) for _ in range(12)] == [True] * 10 + [False] * 2


def test_after_the_wait_it_says_the_next_one_passes_and_not_before():
    limit = Rate(10)
    while passed(limit, "a", NOW_S):
        continue
    wait_s = limit.wait_s("a", 1, NOW_S)
    assert wait_s == pytest.approx(0.1)
    assert not passed(limit, "a", NOW_S + wait_s - 0.01)
    assert passed(limit, "a", NOW_S + wait_s + 1e-6)


def test_names_do_not_share():
    limit = Rate(1)
    assert passed(limit, "a", NOW_S)
    assert not passed(limit, "a", NOW_S)
    assert passed(limit, "b", NOW_S)


def test_more_than_a_burst_at_once_passes_at_rest_and_is_paid_for():
    limit = Rate(10)
    assert passed(limit, "a", NOW_S, 100)
    assert not passed(limit, "a", NOW_S + 8.9)
    assert passed(limit, "a", NOW_S + 9.2)


def test_asking_uses_nothing_up():
    limit = Rate(1)
    assert [limit.wait_s("a", 1, NOW_S) for _ in range(5)] == [0.0] * 5


@pytest.mark.parametrize("seed", range(5))
def test_in_no_interval_does_more_pass_than_rate_and_burst_allow(seed: int):
    rng, limit, times = random.Random(seed), Rate(20), []
    at_s = NOW_S
    for _ in range(3000):
        at_s += rng.expovariate(100)
        if passed(limit, "a", at_s):
            times.append(at_s)
    for first in range(0, len(times), 7):
        for last in range(first, len(times), 11):
            length_s = times[last] - times[first]
            assert last - first + 1 <= 20 * (length_s + rate.BURST_S) + 1e-3
    assert len(times) >= 20 * (at_s - NOW_S) * 0.99


def test_names_at_rest_are_let_go(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rate, "_NAMES_KEPT_MAX", 10)
    limit = Rate(1)
    for number in range(100):
        assert passed(limit, f"n{number}", NOW_S + 10 * number)
    assert len(limit._rests_at_s) <= 11
    assert not passed(limit, "n99", NOW_S + 990)


def test_more_than_a_burst_happens_when_at_rest_at_any_time_of_day():
    # Seconds since 1970 have some 2e-7 of rounding, which once kept such a batch out for good.
    for number in range(1000):
        now_s = 1_764_000_000.0 + number * 0.123456789
        assert Rate(30_000).wait_s("a", 44_800 + number, now_s) == 0


def test_names_that_are_not_at_rest_are_bounded_too():
    rate = Rate(1.0)
    for number in range(250_000):
        rate.count(f"name-{number}", 1, 1000.0)
    assert len(rate._rests_at_s) <= 100_000
