"""The readings of a fleet of cars, some of them faulty. Pure: seeded, time is an argument."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any, NamedTuple

# The urban driving cycle of UN/ECE regulation 15: seconds, km/h.
_CYCLE = (
    (0, 0), (11, 0), (15, 15), (23, 15), (28, 0), (49, 0), (61, 32), (85, 32), (96, 0), (117, 0),
    (143, 50), (155, 50), (163, 35), (176, 35), (188, 0), (195, 0),
)  # fmt: skip
_CYCLE_S = 195.0
# Maximum speed in km/h and rpm per km/h of the first, second and third gear.
_GEARS = ((15.5, 110.0), (35.5, 65.0), (math.inf, 42.0))
_SWING_S = 70.0  # period of the thermostat

METRICS = ("engine_temperature", "engine_rpm", "speed")

# Without a zone; the year 2100; a clock that counts from when it was switched on.
_INVALID_TIMES = ("2026-11-22T10:00:00", 4_102_444_800_000, 12.5)
_GARBAGE_EVERY = 7  # readings of the faulty car
_LATE_SHARE = 0.02
_LATE_S = (1.0, 4.0)


class Shape(NamedTuple):
    """Number of cars, their total rate in readings per second, and the duration."""

    devices: int
    rate: float
    seconds: float
    seed: int = 1

    @property
    def readings(self) -> int:
        """Total number of readings."""
        return round(self.rate * self.seconds)


class Event(NamedTuple):
    """A reading, and when it is due after the start."""

    due_s: float
    car: int
    reading: dict[str, Any]
    is_late: bool = False


class Car:
    """One car. `measure` depends only on the seed, the number of the car and the time."""

    def __init__(self, seed: int, number: int) -> None:
        rng = Random(f"{seed}/{number}")  # noqa: S311 (not a secret)
        self._seed = f"{seed}/{number}"
        self._ambient_c = rng.uniform(-8.0, 30.0)
        self._thermostat_c = rng.uniform(86.0, 94.0)
        self._warm_up_s = rng.uniform(90.0, 200.0)
        self._ran_before_s = rng.uniform(0.0, 400.0)
        self._phase_s = rng.uniform(0.0, _CYCLE_S)
        self._idle_rpm = rng.uniform(720.0, 900.0)
        self._haste = rng.uniform(0.9, 1.2)

    def measure(self, at_s: float) -> dict[str, float]:
        """Temperature in °C, revolutions per minute and speed in km/h at a time after the start."""
        noise = Random(f"{self._seed}/{at_s}")  # noqa: S311 (not a secret)
        speed_kmh = self._speed_kmh(at_s)
        revolutions = self._rpm(speed_kmh) + noise.gauss(0.0, 12.0)
        moving_kmh = max(0.0, speed_kmh + noise.gauss(0.0, 0.3)) if speed_kmh else 0.0
        return {
            "engine_temperature": round(self._temperature_c(at_s) + noise.gauss(0.0, 0.15), 1),
            "engine_rpm": float(round(revolutions)),
            "speed": round(moving_kmh, 1),
        }

    def _speed_kmh(self, at_s: float) -> float:
        second = (at_s + self._phase_s) % _CYCLE_S
        at = bisect_right(_CYCLE, (second, math.inf))
        (begin_s, from_kmh), (end_s, to_kmh) = _CYCLE[at - 1], _CYCLE[min(at, len(_CYCLE) - 1)]
        share = (second - begin_s) / (end_s - begin_s) if end_s > begin_s else 0.0
        return self._haste * (from_kmh + (to_kmh - from_kmh) * share)

    def _rpm(self, speed_kmh: float) -> float:
        ratio = next(ratio for top_kmh, ratio in _GEARS if speed_kmh / self._haste <= top_kmh)
        return max(self._idle_rpm, speed_kmh * ratio)

    def _temperature_c(self, at_s: float) -> float:
        ran_s = self._ran_before_s + at_s
        warmth = 1.0 - math.exp(-ran_s / self._warm_up_s)
        swing_c = 1.5 * warmth**4 * math.sin(2 * math.pi * ran_s / _SWING_S)
        return self._ambient_c + (self._thermostat_c - self._ambient_c) * warmth + swing_c


def name(shape: Shape, car: int) -> str:
    """The device name of a car; different seeds have different cars."""
    return f"sim-{shape.seed}/car-{car + 1}"


def events(shape: Shape, begin_ms: int) -> Iterator[Event]:
    """All readings of the fleet, in the order in which they are due.

    The cars take turns. The last one has a faulty sensor; some readings of every car are
    delayed and arrive after later ones.
    """
    rng = Random(shape.seed)  # noqa: S311 (not a secret)
    cars = [Car(shape.seed, number) for number in range(shape.devices)]
    delayed: list[tuple[float, int, Event]] = []
    for number in range(shape.readings):
        due_s = number / shape.rate
        while delayed and delayed[0][0] <= due_s:
            yield heapq.heappop(delayed)[2]
        car = number % shape.devices
        whole = {
            "device": name(shape, car),
            "recorded_at": begin_ms + int(due_s * 1000),
            **cars[car].measure(due_s),
        }
        turn = number // shape.devices
        if car == shape.devices - 1 and turn % _GARBAGE_EVERY == _GARBAGE_EVERY // 2:
            yield Event(due_s, car, _broken(whole, turn // _GARBAGE_EVERY))
        elif rng.random() < _LATE_SHARE:
            late = Event(due_s + rng.uniform(*_LATE_S), car, whole, is_late=True)
            heapq.heappush(delayed, (late.due_s, number, late))
        else:
            yield Event(due_s, car, whole)
    while delayed:
        yield heapq.heappop(delayed)[2]


def is_garbage(reading: Mapping[str, Any]) -> bool:
    """Whether a reading is from a broken sensor, so that the server must refuse it."""
    recorded_at, measured = reading["recorded_at"], [reading[metric] for metric in METRICS]
    return recorded_at in _INVALID_TIMES or not any(type(value) is float for value in measured)


def _broken(reading: dict[str, Any], times: int) -> dict[str, Any]:
    """A broken variant of a reading."""
    variants: tuple[dict[str, Any], ...] = (
        dict.fromkeys(METRICS, "ERR 0x1F"),
        dict.fromkeys(METRICS),
        *({"recorded_at": time} for time in _INVALID_TIMES),
    )
    return {**reading, **variants[times % len(variants)]}
