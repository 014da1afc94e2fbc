"""What tests of `tributary load` share: types of the fixtures, and waiting for counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support.processes import Deployment
from support.waiting import wait_until

Load = Callable[..., tuple[int, str]]
Table = Callable[..., Path]


def total(deployment: Deployment, device: str, metric: str = "speed") -> int:
    """The number of readings of a metric that the server has counted."""
    status, response = deployment.get(f"/api/v1/devices/{device}")
    return response["metrics"][metric]["total"]["count"] if status == 200 else 0


def settled(deployment: Deployment, device: str, count: int, metric: str = "speed") -> None:
    """Wait until `count` readings are counted, and none is pending."""
    wait_until(
        lambda: total(deployment, device, metric) == count,
        f"{count} readings of {device}, not {total(deployment, device, metric)}",
    )
