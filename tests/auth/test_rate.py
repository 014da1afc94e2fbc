"""The generic cell rate algorithm: a burst, a rate, and no window to exploit."""

from __future__ import annotations

import random

import pytest

from tributary.auth import rate
from tributary.auth.rate import Rate

NOW_S = 1_000_000.0


def allowed(limit: Rate, name: str, at_s: float, events: int = 1) -> bool:
    if limit.wait_s(name, events, at_s) > 0:
        return False
    limit.count(name, events, at_s)
    return True


def test_zero_means_no_limit():
    assert all(allowed(Rate(0), "a", NOW_S, 10**9) for _ in range(3))


def test_allows_a_burst_of_one_second_and_no_more():
    limit = Rate(10)
    assert [allowed(limit, "a", NOW_S) for _ in range(12)] == [True] * 10 + [False] * 2


def test_allows_the_next_event_after_the_wait_and_not_before():
    limit = Rate(10)
    while allowed(limit, "a", NOW_S):
        continue
    wait_s = limit.wait_s("a", 1, NOW_S)
    assert wait_s == pytest.approx(0.1)
    assert not allowed(limit, "a", NOW_S + wait_s - 0.01)
    assert allowed(limit, "a", NOW_S + wait_s + 1e-6)


def test_names_have_separate_limits():
    limit = Rate(1)
    assert allowed(limit, "a", NOW_S)
    assert not allowed(limit, "a", NOW_S)
    assert allowed(limit, "b", NOW_S)


def test_a_batch_over_the_burst_is_allowed_once_and_paid_for_later():
    limit = Rate(10)
    assert allowed(limit, "a", NOW_S, 100)
    assert not allowed(limit, "a", NOW_S + 8.9)
    assert allowed(limit, "a", NOW_S + 9.2)


def test_wait_s_does_not_count_events():
    limit = Rate(1)
    assert [limit.wait_s("a", 1, NOW_S) for _ in range(5)] == [0.0] * 5


@pytest.mark.parametrize("seed", range(5))
def test_no_interval_exceeds_rate_and_burst(seed: int):
    rng, limit, times = random.Random(seed), Rate(20), []
    at_s = NOW_S
    for _ in range(3000):
        at_s += rng.expovariate(100)
        if allowed(limit, "a", at_s):
            times.append(at_s)
    for first in range(0, len(times), 7):
        for last in range(first, len(times), 11):
            length_s = times[last] - times[first]
            assert last - first + 1 <= 20 * (length_s + rate.BURST_S) + 1e-3
    assert len(times) >= 20 * (at_s - NOW_S) * 0.99


def test_names_with_a_full_burst_are_dropped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rate, "_NAMES_MAX", 10)
    limit = Rate(1)
    for number in range(100):
        assert allowed(limit, f"n{number}", NOW_S + 10 * number)
    assert len(limit._available_at_s) <= 11
    assert not allowed(limit, "n99", NOW_S + 990)


def test_rounding_of_the_clock_does_not_block_a_large_batch():
    # Seconds since 1970 are rounded to about 2e-7, which once blocked such a batch permanently.
    for number in range(1000):
        now_s = 1_764_000_000.0 + number * 0.123456789
        assert Rate(30_000).wait_s("a", 44_800 + number, now_s) == 0


def test_the_number_of_waiting_names_is_bounded():
    rate = Rate(1.0)
    for number in range(250_000):
        rate.count(f"name-{number}", 1, 1000.0)
    assert len(rate._available_at_s) <= 100_000
