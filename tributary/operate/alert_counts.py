"""How many alerts there are, and how far their deliveries are, for people who operate."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import redis

from tributary.errors import NotPermitted
from tributary.operate import alert_states
from tributary.operate.alert_states import Place
from tributary.store import counts, keys
from tributary.store.redis_client import failures

_PAGE = 1_000
COUNTED_MAX = 20_000  # alerts; of more, some are not counted


class AlertCounts(NamedTuple):
    """The counts of a deployment."""

    alerts: Mapping[tuple[str, str], int]  # that are not ok, by state and severity
    is_complete: bool  # False: there are more than `COUNTED_MAX`
    transitions: int  # that were ever logged
    behind: Mapping[str, int]  # transitions that are not passed yet, by destination
    deliveries: Mapping[tuple[str, str], int]  # by outcome and destination


def read(client: redis.Redis, partitions: int) -> AlertCounts | None:
    """Count the alerts and deliveries; None if the Redis user may not read them.

    Raises:
        Unavailable: Redis is.
    """
    # Users from before there were alerts may still read everything else.
    with contextlib.suppress(NotPermitted):
        return _read(client, partitions)
    return None


def _read(client: redis.Redis, partitions: int) -> AlertCounts:
    found: Counter[tuple[str, str]] = Counter()
    place: Place | None = Place()
    while place is not None and found.total() < COUNTED_MAX:
        page, place = alert_states.page(client, partitions, place, _PAGE)
        found.update((each.state.state, each.state.severity) for each in page)
    with failures():
        named: Any = client.hgetall(keys.ALERT_DESTINATIONS)
        pipeline = client.pipeline(transaction=False)
        for partition in range(partitions):
            pipeline.hget(keys.meta(partition), "transitions")
            pipeline.hgetall(keys.delivered(partition))
        replies = pipeline.execute()
    logged = [int(number or 0) for number in replies[::2]]
    behind: Counter[str] = Counter({name.decode(): 0 for name in named.values()})
    for number, positions in zip(logged, replies[1::2], strict=True):
        for key, name in named.items():
            behind[name.decode()] += max(0, number - int(positions.get(key, number)))
    outcomes = counts.totals(client, keys.ALERT_DELIVERIES)
    deliveries = {_pair(field): count for field, count in outcomes.items()}
    return AlertCounts(found, place is None, sum(logged), behind, deliveries)


def summary(found: AlertCounts | None) -> str:
    """The counts in a line."""
    if found is None:
        return "unavailable: the Redis user may not read them; run tributary doctor --role operator"
    by_state: Counter[str] = Counter()
    for (state, _), count in found.alerts.items():
        by_state[state] += count
    more = "" if found.is_complete else "at least "
    text = f"{more}{by_state['firing']:,} firing, {by_state['pending']:,} pending"
    behind = [f"{name} is {count:,} behind" for name, count in found.behind.items() if count]
    return "; ".join([text, *behind])


def _pair(field: str) -> tuple[str, str]:
    outcome, _, destination = field.partition(" ")
    return outcome, destination
