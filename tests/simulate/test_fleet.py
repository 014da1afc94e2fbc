"""The fleet that does not exist: plausible, repeatable, and broken only where it should be."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from ingest.doors import record
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.settings import Settings
from tributary.simulate import fleet
from tributary.simulate.fleet import METRICS, Car, Event, Shape

BEGIN_MS = 1_795_341_600_000
SHAPE = Shape(devices=7, rate=50.0, seconds=60.0)


def events(shape: Shape = SHAPE) -> list[Event]:
    return list(fleet.events(shape, BEGIN_MS))


def test_the_same_seed_makes_the_same_drive():
    assert events() == events()
    assert events() != events(SHAPE._replace(seed=2))


def test_a_measurement_depends_only_on_car_and_time():
    car = Car(1, 3)
    first = car.measure(10.0)
    car.measure(99.0)
    assert car.measure(10.0) == first == Car(1, 3).measure(10.0)
    assert Car(1, 4).measure(10.0) != first


def test_the_rate_is_kept():
    sent = events()
    assert len(sent) == SHAPE.readings == 3000
    on_time = [event for event in sent if not event.is_late]
    assert all(abs(b.due_s - a.due_s) <= 0.2 for a, b in pairwise(on_time))


def test_readings_are_sent_in_the_order_they_are_due():
    due_s = [event.due_s for event in events()]
    assert due_s == sorted(due_s)


def test_the_cars_take_turns():
    cars = [event.car for event in events() if not event.is_late]
    assert {cars.count(car) for car in range(7)} <= set(range(400, 440))


def test_every_engine_warms_up_and_stays_warm():
    for number in range(20):
        car = Car(1, number)
        cold = car.measure(0.0)["engine_temperature"]
        warm = [car.measure(1800.0 + at)["engine_temperature"] for at in range(0, 300, 10)]
        assert -10 <= cold <= 96
        assert cold < max(warm) + 3
        assert all(80 <= value <= 100 for value in warm)


def test_a_cold_engine_warms_up_along_a_curve_that_flattens():
    car = min(
        (Car(1, number) for number in range(50)), key=lambda c: c.measure(0.0)["engine_temperature"]
    )
    curve = [car.measure(at)["engine_temperature"] for at in range(0, 601, 150)]
    rises = [b - a for a, b in pairwise(curve)]
    assert rises[0] > rises[1] > rises[3]


@pytest.mark.parametrize("number", range(5))
def test_speed_and_rpm_are_plausible_for_a_car_in_town(number: int):
    car = Car(1, number)
    drive = [car.measure(float(at)) for at in range(400)]
    assert all(0 <= at["speed"] <= 65 for at in drive)
    assert all(600 <= at["engine_rpm"] <= 3200 for at in drive)
    assert any(at["speed"] == 0 for at in drive)
    assert max(at["speed"] for at in drive) > 40
    steps = [abs(b["speed"] - a["speed"]) for a, b in pairwise(drive)]
    assert max(steps) < 8  # km/h in a second


def test_a_late_reading_is_older_than_those_sent_before_it():
    sent = events()
    late = [index for index, event in enumerate(sent) if event.is_late]
    assert late
    for index in late:
        before = [e.reading["recorded_at"] for e in sent[:index] if not fleet.is_garbage(e.reading)]
        assert sent[index].reading["recorded_at"] < max(before)


def test_only_some_readings_of_the_last_car_are_broken():
    broken = [event for event in events() if fleet.is_garbage(event.reading)]
    assert {event.car for event in broken} == {6}
    assert 0.1 < len(broken) / (SHAPE.readings / SHAPE.devices) < 0.2


def test_the_server_refuses_the_broken_readings_only():
    rules = Rules(Settings())
    for event in events():
        body = json.dumps(event.reading).encode()
        if fleet.is_garbage(event.reading):
            with pytest.raises(Refused):
                record.decode(body, "", BEGIN_MS + 60_000, rules)
        else:
            assert record.decode(body, "", BEGIN_MS + 60_000, rules).readings == 1


def test_a_reading_has_every_metric():
    for event in events():
        assert set(event.reading) == {"device", "recorded_at", *METRICS}
        assert event.reading["device"] == f"sim-1/car-{event.car + 1}"
