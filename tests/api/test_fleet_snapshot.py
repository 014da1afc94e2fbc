"""Filtering and sorting the list of devices, compared with a plain recount."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.read.fleet_snapshot import METRICS_MAX, FleetRequest, FleetSnapshot, natural_key
from tributary.model import reading
from tributary.model.catalogue import Range

NOW_MS = 1_795_341_600_000
STALE_MS = 10_000
RANGES = {"speed": Range(0, 300)}
FIRING = {"a", "b", "9", "gone"}
Fleet = dict[str, dict[str, Any]]
ALL = FleetRequest("", "all", None, "name", False, 0, 200)

names = st.text("ab19.", min_size=1, max_size=6).filter(reading.is_device)
devices = st.dictionaries(
    names,
    st.fixed_dictionaries(
        {"age_ms": st.integers(0, 20_000)},
        optional={"speed": st.integers(-50, 400), "rpm": st.integers(0, 5)},
    ),
    max_size=20,
)


def stored(name: str, age_ms: int = 0, **values: float) -> tuple[str, bytes]:
    body: dict[str, Any] = {"device": name, "recorded_at": reading.rfc3339(NOW_MS - age_ms)}
    for metric, value in values.items():
        body |= {f"current_{metric}": value, f"average_{metric}": value}
    return name, json.dumps(body, separators=(",", ":")).encode()


def snapshot(fleet: Fleet) -> FleetSnapshot:
    listed = [stored(name, **values) for name, values in fleet.items()]
    return FleetSnapshot(listed, RANGES, FIRING)


@pytest.mark.parametrize(
    "in_order",
    [
        ["1", "2", "10", "a", "a1", "a02", "a2", "a10", "B3", "b20", "car-9/x", "car-10/a"],
        ["x" + "9" * 20, "x1" + "0" * 20, "x" + "9" * 127],
    ],
)
def test_names_are_in_natural_order(in_order: list[str]):
    assert sorted(set(in_order), key=lambda n: (natural_key(n), n)) == in_order


requests = st.builds(
    FleetRequest,
    st.sampled_from(["", "a", "B1", "."]),
    st.sampled_from(["all", "reporting", "stale", "implausible", "alerting"]),
    st.sampled_from([None, "speed", "rpm", "none"]),
    st.sampled_from(["name", "age"]),
    st.booleans(),
    st.just(0),
    st.just(200),
)


@given(devices, requests, st.sampled_from([None, "a*", "*1"]))
def test_pages_equal_a_recount(fleet: Fleet, wanted: FleetRequest, allowed: str | None):
    test = re.compile((allowed or "*").replace(".", r"\.").replace("*", ".*")).fullmatch
    covers = None if allowed is None else (allowed, test)
    found = snapshot(fleet).select(wanted, NOW_MS, STALE_MS, covers)

    def is_in(name: str, state: str) -> bool:
        values = fleet[name]
        is_stale = values["age_ms"] > STALE_MS
        is_implausible = not 0 <= values.get("speed", 0) <= 300
        states = {"reporting": not is_stale, "stale": is_stale, "implausible": is_implausible}
        states["alerting"] = name in FIRING
        return states.get(state, True)

    seen = [n for n in sorted(fleet, key=lambda n: (natural_key(n), n)) if test(n)]
    seen = [n for n in seen if wanted.search.lower() in n.lower()]
    listed = [n for n in seen if is_in(n, wanted.state)]
    sign = -1 if wanted.is_descending else 1
    metric = wanted.metric
    if metric is not None:
        lacking = [n for n in listed if metric not in fleet[n]]
        having = [n for n in listed if metric in fleet[n]]
        listed = sorted(having, key=lambda n: sign * fleet[n][metric]) + lacking
    elif wanted.by == "age":
        listed.sort(key=lambda n: sign * fleet[n]["age_ms"])
    elif wanted.is_descending:
        listed.reverse()
    assert found.names == listed
    assert found.matched == len(listed)
    assert found.counts == {s: sum(is_in(n, s) for n in seen) for s in found.counts}


@given(devices, st.integers(0, 25), st.integers(1, 7))
def test_pages_follow_each_other(fleet: Fleet, offset: int, limit: int):
    whole = snapshot(fleet).select(ALL, NOW_MS, STALE_MS)
    page = snapshot(fleet).select(ALL._replace(offset=offset, limit=limit), NOW_MS, STALE_MS)
    assert page.names == whole.names[offset : offset + limit]
    assert page.matched == len(fleet)


def test_metrics_are_listed_by_number_of_devices_up_to_a_limit():
    fleet = {f"d{n}": {"speed": 1, f"m{n}": 1} for n in range(METRICS_MAX + 5)}
    found = snapshot(fleet).select(ALL, NOW_MS, STALE_MS).metrics
    assert found[0] == ("speed", METRICS_MAX + 5)
    assert len(found) == METRICS_MAX


def test_the_cache_of_patterns_is_bounded():
    one = snapshot({"a": {"speed": 1}})
    for n in range(100):
        one.select(ALL, NOW_MS, STALE_MS, (f"a{n}*", lambda _: True))
    assert len(one._covered) <= 32
