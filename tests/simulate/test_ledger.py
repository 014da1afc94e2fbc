"""The ledger: what /collect must say after what was accepted."""

from __future__ import annotations

from tributary.simulate.ledger import AVERAGE_OVER, Ledger


def at(time_ms: int, value: float) -> dict[str, object]:
    return {"device": "car", "recorded_at": time_ms, "speed": value}


def response(current: float, average: float) -> dict[str, object]:
    return {"device": "car", "current_speed": current, "average_speed": average}


def test_current_is_the_newest_by_time_in_any_order_of_arrival():
    ledger = Ledger()
    ledger.add([at(2, 20.0), at(1, 10.0)])
    assert ledger.differences("car", response(20.0, 15.0)) == []
    wrong = ledger.differences("car", response(10.0, 15.0))
    assert [(d.field, d.expected, d.found) for d in wrong] == [("current_speed", 20.0, 10.0)]


def test_of_equal_times_the_last_arrival_is_current():
    ledger = Ledger()
    ledger.add([at(1, 10.0), at(1, 20.0)])
    assert ledger.differences("car", response(20.0, 15.0)) == []


def test_the_average_is_of_the_ten_newest():
    ledger = Ledger()
    ledger.add(at(time, float(time)) for time in range(AVERAGE_OVER + 5))
    ledger.add([at(0, 1000.0)])  # older than the ten: it does not count
    assert ledger.differences("car", response(14.0, 9.5)) == []


def test_the_order_of_summation_does_not_matter():
    ledger = Ledger()
    ledger.add([at(1, 0.1), at(2, 0.2), at(3, 0.3)])
    assert ledger.differences("car", response(0.3, (0.1 + 0.2 + 0.3) / 3)) == []


def test_the_average_of_a_known_device_is_checked_after_ten_readings():
    ledger = Ledger(known_before=["car"])
    ledger.add(at(time, 1.0) for time in range(AVERAGE_OVER - 1))
    assert ledger.differences("car", response(1.0, 7.0)) == []
    ledger.add([at(99, 1.0)])
    assert [d.field for d in ledger.differences("car", response(1.0, 7.0))] == ["average_speed"]


def test_an_unknown_device_differs_in_everything():
    ledger = Ledger()
    ledger.add([at(1, 1.0)])
    assert {d.field for d in ledger.differences("car", None)} == {"current_speed", "average_speed"}


def test_an_uncertain_device_is_marked():
    ledger = Ledger()
    ledger.doubt([at(1, 1.0)])
    assert set(ledger.uncertain) == {"car"}
    assert ledger.devices == []
