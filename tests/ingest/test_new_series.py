"""The rate at which new series may join; known ones are never limited."""

from __future__ import annotations

import struct

import pytest

from ingest import new_series
from ingest.batch import Batch
from ingest.new_series import NewSeriesRate
from tributary.errors import TooManyNewSeries
from tributary.model.frame import Block


def request(*devices: str, metrics: int = 10, name: str = "m") -> Batch:
    values: dict[str, float | bytes] = {f"{name}{n}": 1.0 for n in range(metrics)}
    blocks = [Block(device, 1, values) for device in devices]
    return Batch({0: blocks}, len(blocks), is_batch=len(blocks) > 1)


def test_rejects_new_series_over_the_rate_but_no_known_ones():
    rate = NewSeriesRate(100)
    rate.admit(request(*"abcdefghij"), "", 50.0)
    with pytest.raises(TooManyNewSeries) as rejected:
        rate.admit(request("k"), "", 50.0)
    assert rejected.value.retry_after_s == 1
    rate.admit(request(*"abcdefghij"), "", 50.0)
    rate.admit(request("k"), "", 51.0)
    rate.admit(request("k"), "", 51.0)


def test_a_rejected_request_makes_no_series_known():
    rate = NewSeriesRate(10)
    rate.admit(request("a"), "", 50.0)
    for _ in range(2):
        with pytest.raises(TooManyNewSeries):
            rate.admit(request("a", "b"), "", 50.0)


def test_new_metrics_of_a_known_device_are_new_series():
    rate = NewSeriesRate(10)
    rate.admit(request("a"), "", 50.0)
    with pytest.raises(TooManyNewSeries):
        rate.admit(request("a", name="other"), "", 50.0)


def test_counts_each_new_pair_once_in_every_format():
    rate = NewSeriesRate(0)

    def new(batch: Batch) -> tuple[int, int]:
        found = rate.admit(batch, "", 50.0)
        return (0, 0) if found is None else (found.series, found.devices)

    def reading(device: str, *names: str) -> Batch:
        return Batch({0: [Block(device, 1, dict.fromkeys(names, 1.0))]}, 1, is_batch=False)

    assert new(reading("a", "x", "y")) == (2, 1)
    assert new(reading("a", "y", "x")) == (0, 0)
    assert new(reading("b", "x")) == (1, 1)
    assert new(reading("b", "y")) == (1, 0)
    assert new(reading("b", "x", "y", "z")) == (1, 0)
    times, values = struct.pack("<4q", 1, 1, 1, 1), struct.pack("<4d", 1, 1, 1, 1)
    column = Block(["a", "b", "c", "c"], times, {"x": values, "z": values})
    assert new(Batch({0: [column]}, 4, is_batch=True)) == (3, 1)
    assert new(Batch({0: [column]}, 4, is_batch=True)) == (0, 0)


def test_forgotten_series_are_new_again_and_use_up_nothing():
    rate = NewSeriesRate(10)
    for _ in range(5):
        new = rate.admit(request("a"), "", 50.0)
        assert new is not None
        assert new.series == 10
        rate.forget(new, refund=True)


def test_admits_a_request_larger_than_the_rate_if_nothing_is_used_up():
    rate = NewSeriesRate(10)
    rate.admit(request("a", metrics=50), "", 50.0)
    with pytest.raises(TooManyNewSeries) as rejected:
        rate.admit(request("b"), "", 50.0)
    assert rejected.value.retry_after_s == 5
    rate.admit(request("b"), "", 55.0)


def test_each_token_has_its_own_rate():
    rate = NewSeriesRate(10)
    rate.admit(request("a", metrics=1000), "one", 50.0)
    rate.admit(request("b"), "two", 50.0)


def test_counts_every_device_of_a_column():
    times, values = struct.pack("<3q", 1, 1, 1), struct.pack("<3d", 1, 1, 1)
    column = Block(["a", "b", "c"], times, {"m": values, "n": values})
    accepted = Batch({0: [column]}, 3, is_batch=True)
    rate = NewSeriesRate(6)
    rate.admit(accepted, "", 50.0)
    rate.admit(accepted, "", 50.0)  # known now
    with pytest.raises(TooManyNewSeries):
        rate.admit(request("d", metrics=2), "", 50.0)


def test_bounds_what_is_remembered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(new_series, "_HASHES_MAX", 100)
    rate = NewSeriesRate(1e9)
    for number in range(1000):
        rate.admit(request(f"d{number}"), "", 50.0)
        rate.admit(request("always"), "", 50.0)
    for memory in (rate._shapes, rate._seen):
        assert len(memory.recent) + len(memory._previous) <= 222
    rate._rate.per_s = 1e-9
    rate.admit(request("always"), "", 50.0)
