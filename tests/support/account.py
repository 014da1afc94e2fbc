"""What every account of a deployment must be: a sum."""

from __future__ import annotations

from typing import Any


def assert_adds_up(found: dict[str, Any]) -> None:
    """accepted = applied + late + dead + lost + pending, in readings and in entries."""
    for each in (found, *found["partitions"], *(p["entries"] for p in found["partitions"])):
        parts = [name for name in ("applied", "late", "dead", "lost", "pending") if name in each]
        assert each["accepted"] == sum(each[part] for part in parts), each
        assert min(each[part] for part in parts) >= 0, each
        assert 0 <= each["missing"] <= each["pending"], each
    for name in ("accepted", "applied", "late", "dead", "lost", "pending", "missing", "refused"):
        assert found[name] == sum(partition[name] for partition in found["partitions"]), name
