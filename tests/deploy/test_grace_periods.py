"""What stops a process waits longer than that takes, and the documents have the figures."""

from __future__ import annotations

import re

from support.processes import ROOT

from aggregator import worker as aggregator
from bridge import worker as bridge
from deploy import composefile, manifests
from jobs import supervise, watchdog
from tributary.http.lane import connection
from tributary.http.lane.gunicorn_worker import LaneWorker
from tributary.process import http_server, lifeline
from tributary.standalone import supervisor

UP_S = 3 * supervisor._TERM_TIMEOUT_S  # HTTP, workers, server
LONGEST_S = {
    "ingest": http_server.GRACE_S,
    "api": http_server.GRACE_S,
    "aggregator": aggregator.DEREGISTER_S,
    "jobs": supervise.STOP_S,
    "mqtt": bridge.STOP_S,
    "up": UP_S,
}
MARGIN_S = 2.0  # for Python to end, and for Redis to time out


def test_the_limits_of_a_process_follow_each_other():
    graceful_s = LaneWorker.CONFIG_KWARGS["timeout_graceful_shutdown"]
    last_s = connection.LAST_REQUEST_S
    assert last_s < graceful_s < http_server.GRACE_S < lifeline._KILL_AFTER_S
    assert watchdog.GRACE_S < watchdog.KILL_AFTER_S < supervise.STOP_S
    workers = [LONGEST_S[role] for role in LONGEST_S if role != "up"]
    assert max(workers) + MARGIN_S <= supervisor._TERM_TIMEOUT_S


def test_operating_md_has_these_limits():
    text = (ROOT / "docs/operating.md").read_text().partition("## Stopping")[2]
    found = {
        role: float(seconds)
        for roles, seconds in re.findall(r"^\| (`.+?`) \|.*\| (\d+) s[^|]*\|$", text, re.MULTILINE)
        for role in re.findall(r"`(\w+)`", roles)
    }
    assert found == LONGEST_S


def test_containers_and_pods_and_units_have_more_time():
    services = composefile.services()
    for role, limit_s in LONGEST_S.items():
        if role in services:
            period = services[role]["stop_grace_period"]
            assert float(period.removesuffix("s")) >= limit_s + MARGIN_S, role
    for name, pod in manifests.pods(manifests.written()).items():
        role = name.removeprefix("tributary-")
        container = manifests.containers(manifests.written())[name]
        sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {"seconds": 0})
        grace_s = pod["spec"]["terminationGracePeriodSeconds"] - sleep["seconds"]
        assert grace_s >= LONGEST_S.get(role, 0) + MARGIN_S, role
    recipes = (ROOT / "docs/recipes.md").read_text()
    up_s, role_s = (float(s) for s in re.findall(r"^TimeoutStopSec=(\d+)", recipes, re.MULTILINE))
    assert up_s >= UP_S + MARGIN_S
    assert role_s >= max(LONGEST_S[role] for role in LONGEST_S if role != "up") + MARGIN_S
