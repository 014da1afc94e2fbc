"""What happens to servers in `scripts/chaos failover-events`, and what is measured."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Literal, NamedTuple, Protocol, get_args

from faults.failover_load import Level

SentinelEvent = Literal["killed", "paused", "cut-off", "promoted", "planned"]
ClusterEvent = Literal[
    "cluster-killed", "cluster-paused", "cluster-cut-off", "cluster-promoted", "cluster-forced",
    "cluster-takeover", "cluster-restarted", "moved",
]  # fmt: skip
Event = SentinelEvent | ClusterEvent
OF_CLUSTERS: tuple[ClusterEvent, ...] = get_args(ClusterEvent)
EVENTS: tuple[Event, ...] = (*get_args(SentinelEvent), *OF_CLUSTERS)


class Options(NamedTuple):
    """The options of one run."""

    event: Event
    level: Level
    rounds: int = 5
    seed: int = 1  # of the times of the events, and of the load
    load_s: float = 2.0  # before and after each event
    wait_replicas: int = 1  # at the level replicated
    min_replicas: int = 0  # min-replicas-to-write of the servers
    down_after_ms: int = 1000  # until a sentinel considers the master down


class Times(NamedTuple):
    """One event, in ms since the epoch."""

    began_ms: int
    changed_ms: int  # another master was announced or promoted, or the slot was moved
    followed_ms: int  # after that, until the new master has another reading
    partitions: Collection[int]  # that were affected


class Site(Protocol):
    """Servers that something happens to."""

    url: str

    def strike(self, event: Event, rest: Callable[[], None]) -> Times:
        """Cause the event; `rest` is the time that the new master has for itself."""

    def close(self) -> None:
        """Stop the servers."""


def pause(seconds: float) -> None:
    """Wait while the load continues."""
    threading.Event().wait(seconds)
