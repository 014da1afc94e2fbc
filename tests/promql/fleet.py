"""Readings of some hours for both servers, and queries to both."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlencode

import redis
from support.folding import aggregate
from support.history import archive
from support.processes import exchange
from support.prometheus import Prometheus, Row
from support.webs import Web

from tributary.history.database import Database

MINUTE_MS = 60_000
MINUTES = 180
DEVICES = ("car-1", "car-2", "car-3", "van-1")
TOLERANCE, DEVIATION_TOLERANCE = 1e-9, 1e-6  # relative; closed slots keep 7 digits of deviations


def rows(now_ms: int) -> list[Row]:
    """One reading per minute, at half past: `car-3` has been silent for an hour, `van-1` has a gap."""
    source = random.Random(14)
    first_ms = (now_ms // MINUTE_MS - MINUTES) * MINUTE_MS + MINUTE_MS // 2
    return [
        (metric, device, first_ms + minute * MINUTE_MS, round(source.gauss(mean, 20), 2))
        for metric, mean in (("depth", 0.0), ("speed", 55.0))
        for device in DEVICES
        for minute in range(MINUTES - 2)
        if not (device == "car-3" and minute > MINUTES - 60)
        and not (device == "van-1" and 40 < minute < 75)
        and not (device == "van-1" and metric == "depth" and minute < 100)
    ]


def record(web: Web, client: redis.Redis, readings: list[Row]) -> None:
    """Record the readings, apply them, and add them to the history."""
    batch = [
        {"device": device, "recorded_at": time_ms, metric: value}
        for metric, device, time_ms, value in readings
    ]
    assert web.record(batch).status == 200
    aggregate(web.settings, client)
    Database.open(web.settings, migrate=True).close()
    archive(web.settings)


class Difference(NamedTuple):
    """How the responses to an expression differ."""

    expression: str
    points: int
    relative: float  # the largest relative difference of two values
    reason: str  # why they cannot be compared, or empty


def compare(web: Web, other: Prometheus, expression: str, now_ms: int) -> Difference:
    """Evaluate an expression over two hours and at one time on both servers."""
    end_s = now_ms // MINUTE_MS * 60 - 180
    compared = [
        _compared(web, other, f"query_range?{urlencode(parameters)}")
        for parameters in (
            {"query": expression, "start": end_s - 7200, "end": end_s, "step": "2m"},
        )
    ]
    compared.append(
        _compared(web, other, f"query?{urlencode({'query': expression, 'time': end_s})}")
    )
    points, relative = sum(n for n, _, _ in compared), max(d for _, d, _ in compared)
    reason = next((reason for _, _, reason in compared if reason), "")
    if relative > (DEVIATION_TOLERANCE if "std" in expression else TOLERANCE):
        reason = reason or f"values differ by {relative}"
    return Difference(expression, points, relative, reason)


def _compared(web: Web, other: Prometheus, path: str) -> tuple[int, float, str]:
    mine = web.get(f"/prometheus/api/v1/{path}")
    theirs = exchange(other.url, "GET", f"/api/v1/{path}")
    if mine.status == theirs.status == 422:  # as ambiguous for both
        return 0, 0.0, ""
    if mine.status != 200 or theirs.status != 200:
        return 0, math.inf, f"{mine.status} {mine.content!r} and {theirs.status} {theirs.content!r}"
    if "infos" in mine.json:
        return 0, math.inf, f"approximate: {mine.json['infos']}"
    kinds = mine.json["data"]["resultType"], theirs.json["data"]["resultType"]
    left, right = (dict(_points(reply.json["data"])) for reply in (mine, theirs))
    if kinds[0] != kinds[1] or left.keys() != right.keys():
        lacking = sorted(right.keys() - left.keys()), sorted(left.keys() - right.keys())
        return (
            0,
            math.inf,
            f"{kinds}, only in Prometheus {lacking[0][:3]}, only here {lacking[1][:3]}",
        )
    worst = max((_difference(value, right[key]) for key, value in left.items()), default=0.0)
    return len(left), worst, ""


def _points(data: dict[str, Any]) -> Iterator[tuple[tuple[str, float], float]]:
    """Values by labels and time."""
    if data["resultType"] == "scalar":
        yield ("", data["result"][0]), float(data["result"][1])
        return
    for series in data["result"]:
        for time_s, text in series.get("values") or [series["value"]]:
            yield (str(sorted(series["metric"].items())), time_s), float(text)


def _difference(left: float, right: float) -> float:
    if left == right or (math.isnan(left) and math.isnan(right)):
        return 0.0
    if not (math.isfinite(left) and math.isfinite(right)):
        return math.inf
    return abs(left - right) / max(abs(left), abs(right))
