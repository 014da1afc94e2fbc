"""New series join at a rate; known ones are never refused for it."""

from __future__ import annotations

import struct

import pytest

from ingest import newcomers
from ingest.batch import Batch
from ingest.newcomers import Newcomers
from tributary.errors import TooManyNewSeries
from tributary.model.frame import Block


def request(*devices: str, metrics: int = 10, name: str = "m") -> Batch:
    values: dict[str, float | bytes] = {f"{name}{n}": 1.0 for n in range(metrics)}
    blocks = [Block(device, 1, values) for device in devices]
    return Batch({0: blocks}, len(blocks), is_batch=len(blocks) > 1)


def test_what_is_beyond_the_rate_is_refused_and_known_series_are_not():
    joining = Newcomers(100)
    joining.admit(request(*"abcdefghij"), "", 50.0)
    with pytest.raises(TooManyNewSeries) as refused:
        joining.admit(request("k"), "", 50.0)
    assert refused.value.retry_after_s == 1
    joining.admit(request(*"abcdefghij"), "", 50.0)
    joining.admit(request("k"), "", 51.0)
    joining.admit(request("k"), "", 51.0)


def test_a_refused_request_makes_nothing_known():
    joining = Newcomers(10)
    joining.admit(request("a"), "", 50.0)
    for _ in range(2):
        with pytest.raises(TooManyNewSeries):
            joining.admit(request("a", "b"), "", 50.0)


def test_new_metrics_of_a_known_device_are_new_series():
    joining = Newcomers(10)
    joining.admit(request("a"), "", 50.0)
    with pytest.raises(TooManyNewSeries):
        joining.admit(request("a", name="other"), "", 50.0)


def test_each_new_pair_is_counted_once_however_it_comes():
    joining = Newcomers(0)

    def new(accepted: Batch) -> tuple[int, int]:
        joined = joining.admit(accepted, "", 50.0)
        return (0, 0) if joined is None else (joined.series, joined.devices)

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


def test_what_was_forgotten_is_new_again_and_has_used_up_nothing():
    joining = Newcomers(10)
    for _ in range(5):
        joined = joining.admit(request("a"), "", 50.0)
        assert joined is not None
        assert joined.series == 10
        joining.forget(joined, refund=True)


def test_a_request_larger_than_the_rate_is_admitted_when_nothing_is_used_up():
    joining = Newcomers(10)
    joining.admit(request("a", metrics=50), "", 50.0)
    with pytest.raises(TooManyNewSeries) as refused:
        joining.admit(request("b"), "", 50.0)
    assert refused.value.retry_after_s == 5
    joining.admit(request("b"), "", 55.0)


def test_tokens_do_not_use_up_each_others_rate():
    joining = Newcomers(10)
    joining.admit(request("a", metrics=1000), "one", 50.0)
    joining.admit(request("b"), "two", 50.0)


def test_every_device_of_a_column_counts():
    times, values = struct.pack("<3q", 1, 1, 1), struct.pack("<3d", 1, 1, 1)
    column = Block(["a", "b", "c"], times, {"m": values, "n": values})
    accepted = Batch({0: [column]}, 3, is_batch=True)
    joining = Newcomers(6)
    joining.admit(accepted, "", 50.0)
    joining.admit(accepted, "", 50.0)  # known by now
    with pytest.raises(TooManyNewSeries):
        joining.admit(request("d", metrics=2), "", 50.0)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(newcomers, "_KNOWN_MAX", 100)
    joining = Newcomers(1e9)
    for number in range(1000):
        joining.admit(request(f"d{number}"), "", 50.0)
        joining.admit(request("always"), "", 50.0)
    for memory in (joining._shapes, joining._seen):
        assert len(memory.recent) + len(memory._before) <= 222
    joining._rate.per_s = 1e-9
    joining.admit(request("always"), "", 50.0)
