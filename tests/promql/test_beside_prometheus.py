"""Queries have the results of Prometheus where slots make up the ranges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import redis
from support.prometheus import Prometheus
from support.webs import Web

from promql import fleet
from promql.expressions import EXPRESSIONS
from tributary.model.clock import utc_ms
from tributary.settings import Settings


def test_results_are_those_of_prometheus(
    change: Callable[..., Settings], client: redis.Redis, tmp_path: Path
):
    now_ms = utc_ms()
    readings = fleet.rows(now_ms)
    other = Prometheus(tmp_path, readings)
    web = Web(change(partitions=2))
    try:
        fleet.record(web, client, readings)
        found = [fleet.compare(web, other, each, now_ms) for each in EXPRESSIONS]
    finally:
        web.close()
        other.close()
    assert [each for each in found if each.reason] == []
    assert sum(each.points for each in found) > 5_000
