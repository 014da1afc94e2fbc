"""What `/collect` must say of each device, worked out from what the server has accepted. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from tributary.model import reading

AVERAGE_OVER = 10  # newest readings in the average, as the contract has it

_SAME = 1e-12  # relative; the order in which a sum is taken may move its last bit


class Difference(NamedTuple):
    """A number in an answer of `/collect` that is not what was sent."""

    field: str
    expected: float
    found: Any


class Ledger:
    """Readings the server has accepted, by device and metric: the newest ones, by event time.

    Args:
        known_before: devices the server had readings of already. Their average can be told
            only once all that count in it are ours.
    """

    def __init__(self, known_before: Collection[str] = ()) -> None:
        self._known_before = known_before
        self._newest: dict[str, dict[str, list[tuple[int, float]]]] = {}
        self._uncertain: set[str] = set()

    @property
    def devices(self) -> list[str]:
        """Devices with accepted readings, in order of their first."""
        return list(self._newest)

    @property
    def uncertain(self) -> Collection[str]:
        """Devices of which it is not known whether the server has some reading."""
        return self._uncertain

    def enter(self, readings: Iterable[Mapping[str, Any]]) -> None:
        """Note readings that were accepted, in order of arrival; `recorded_at` in ms."""
        for accepted in readings:
            series = self._newest.setdefault(accepted["device"], {})
            for metric, value in accepted.items():
                if metric not in reading.RESERVED:
                    newest = series.setdefault(metric, [])
                    newest.append((accepted["recorded_at"], value))
                    newest.sort(key=lambda pair: pair[0])  # stable: of equal times the later wins
                    del newest[:-AVERAGE_OVER]

    def doubt(self, readings: Iterable[Mapping[str, Any]]) -> None:
        """Note readings that may have been accepted or not."""
        self._uncertain.update(unknown["device"] for unknown in readings)

    def differences(self, device: str, collected: dict[str, Any] | None) -> list[Difference]:
        """Where the answer of `/collect` for a device is not what it must be."""
        answer = collected or {}
        expected: dict[str, float] = {}
        for metric, newest in self._newest[device].items():
            expected[f"current_{metric}"] = newest[-1][1]
            if len(newest) == AVERAGE_OVER or device not in self._known_before:
                expected[f"average_{metric}"] = math.fsum(v for _, v in newest) / len(newest)
        return [
            Difference(field, value, answer.get(field))
            for field, value in expected.items()
            if not _is_same(value, answer.get(field))
        ]


def _is_same(expected: float, found: Any) -> bool:
    return isinstance(found, int | float) and math.isclose(expected, found, rel_tol=_SAME)
