"""The status of a deployment: where its readings are, who works on them, and what is wrong."""

from tributary.operate.status.deployment_status import (
    Aggregator,
    Status,
    aggregators_alive,
    read,
)
from tributary.operate.status.jobs import Jobs
from tributary.operate.status.partition import Partition
from tributary.operate.status.problems import problems, warnings

__all__ = [
    "Aggregator",
    "Jobs",
    "Partition",
    "Status",
    "aggregators_alive",
    "problems",
    "read",
    "warnings",
]
