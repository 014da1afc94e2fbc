"""What a run of a worker came to."""

from __future__ import annotations

from typing import NamedTuple


class Result(NamedTuple):
    """Readings a second, what a reading has cost, and how many were counted; 0: not measured."""

    rate: float
    redis_us: float  # processor time of the server
    worker_us: float  # processor time of the worker
    counted: int
