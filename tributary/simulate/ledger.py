"""The expected responses of `/collect`, computed from the accepted readings. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from operator import itemgetter
from typing import Any, NamedTuple

from tributary.model import reading

AVERAGE_OVER = 10  # newest readings in the average

_SAME = 1e-12  # relative; the order of summation can change the last bit


class Difference(NamedTuple):
    """A number in a response of `/collect` that differs from what was sent."""

    field: str
    expected: float
    found: Any


class Ledger:
    """The newest accepted readings of each device and metric, by `recorded_at`.

    Args:
        known_before: devices with earlier readings on the server. Their average is known only
            once all readings in it are from this ledger.
    """

    def __init__(self, known_before: Collection[str] = ()) -> None:
        self._known_before = known_before
        self._newest: dict[str, dict[str, list[tuple[int, float]]]] = {}
        self._uncertain: set[str] = set()

    @property
    def devices(self) -> list[str]:
        """Devices with accepted readings, in the order of their first one."""
        return list(self._newest)

    @property
    def uncertain(self) -> Collection[str]:
        """Devices with readings that may or may not have been accepted."""
        return self._uncertain

    def add(self, readings: Iterable[Mapping[str, Any]]) -> None:
        """Add accepted readings in order of arrival; `recorded_at` in ms."""
        for accepted in readings:
            series = self._newest.setdefault(accepted["device"], {})
            for metric, value in accepted.items():
                if metric not in reading.RESERVED:
                    newest = series.setdefault(metric, [])
                    newest.append((accepted["recorded_at"], value))
                    newest.sort(key=itemgetter(0))  # stable: of equal times the last one wins
                    del newest[:-AVERAGE_OVER]

    def doubt(self, readings: Iterable[Mapping[str, Any]]) -> None:
        """Add readings that may or may not have been accepted."""
        self._uncertain.update(unknown["device"] for unknown in readings)

    def differences(self, device: str, collected: dict[str, Any] | None) -> list[Difference]:
        """The differences between a response of `/collect` and the expected values."""
        response = collected or {}
        expected: dict[str, float] = {}
        for metric, newest in self._newest[device].items():
            expected[f"current_{metric}"] = newest[-1][1]
            if len(newest) == AVERAGE_OVER or device not in self._known_before:
                expected[f"average_{metric}"] = math.fsum(v for _, v in newest) / len(newest)
        return [
            Difference(field, value, response.get(field))
            for field, value in expected.items()
            if not _is_same(value, response.get(field))
        ]


def _is_same(expected: float, found: Any) -> bool:
    return isinstance(found, int | float) and math.isclose(expected, found, rel_tol=_SAME)
