"""The computations of the benchmarks."""

from __future__ import annotations

import math
import re
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from support.programs import needed

from bench import (
    bench_ingest,
    capacity_fit,
    compare_options,
    http_request,
    redis_server,
    report,
)
from bench.memory_growth import MemoryGrowth
from bench.openloop import length_of
from bench.peers.peer import Peer
from bench.peers.tributary_peer import PlainFlask, Tributary
from bench.peers.tutorial import Tutorial
from bench.peers.victoria_metrics import VictoriaMetrics
from bench.peers.webdis import Webdis
from bench.redis_server import Cost, Usage
from bench.rounds import Comparison, CostLimit, Reconciliation, Sample, compare
from bench.wrk import Load
from tributary.operate import capacity
from tributary.operate.capacity import Processes
from tributary.operate.capacity_costs import COSTS

COMPARISON = Comparison("one reading", "single", "webdis", 1.5)


def sample(number: int, peer: str, rate: float, redis_us: float | None = None) -> Sample:
    cost = None if redis_us is None else Cost(redis_us, 305)
    return Sample(number, peer, "single", 32, rate, Load(1, 1, 0, 0, 1, 1), 0.5, None, cost)


def test_the_ratio_is_the_median_over_the_rounds():
    rates, others = [200, 90, 400], [100, 100, 100]
    samples = [sample(n, "Tributary", rate) for n, rate in enumerate(rates)]
    samples += [sample(n, "webdis", rate) for n, rate in enumerate(others)]
    [verdict] = compare(samples, [COMPARISON], "Tributary")
    assert (verdict.minimum, verdict.median, verdict.maximum) == (0.9, 2.0, 4.0)
    assert verdict.is_met
    assert verdict.per_cpu == 2.0


def test_a_skipped_peer_has_no_ratio():
    assert compare([sample(0, "Tributary", 1)], [COMPARISON], "Tributary") == []


def test_a_missed_target_is_reported():
    samples = [sample(0, "Tributary", 10), sample(0, "webdis", 100)]
    assert "**no**" in report.verdicts(compare(samples, [COMPARISON], "Tributary"))


def test_a_number_of_connections_can_have_its_own_target():
    comparison = Comparison("fleet", "single", "webdis", 3, {32: 2, 256: 4})
    samples = [sample(0, "Tributary", 200), sample(0, "webdis", 100)]
    [verdict] = compare(samples, [comparison], "Tributary")
    assert verdict.is_met
    assert comparison.target_at(1) == 3


def test_costs_are_medians_per_reading():
    samples = [sample(n, "Tributary", 50_000, us) for n, us in enumerate([6.0, 9.0, 7.5])]
    assert report.costs(samples) == ["10.0", "7.50", "305"]
    assert report.costs([sample(0, "VictoriaMetrics", 1)])[1:] == ["", ""]
    limits = [CostLimit("one", "single", {32: 7.5}), CostLimit("two", "single", {32: 7.4})]
    table = report.cost_limits(samples, limits, "Tributary").splitlines()
    assert table[-2:] == ["| one | 32 | 7.5 | 7.5 | yes |", "| two | 32 | 7.5 | 7.4 | **no** |"]


def test_the_cost_of_redis_is_the_difference_per_reading():
    before, after = Usage(1.0, 1_000), Usage(1.5, 31_000)
    assert redis_server.cost(before, after, 100_000) == Cost(5.0, 0.3)
    assert math.isnan(redis_server.cost(before, after, 0).redis_us)


def test_constants_are_fitted_and_never_negative():
    features = np.array([[100.0, 100], [1_000, 500], [5_000, 800], [200, 2_000]])
    assert capacity_fit.fitted(features, features @ [3.0, 40]) == pytest.approx([3, 40])
    assert capacity_fit.fitted(features, features @ [3.0, -0.5]).min() == 0


def test_a_fit_returns_the_constants_that_caused_the_use():
    loads = capacity_fit.loads(16)
    costs = capacity_fit.arriving(COSTS)
    flows = [capacity.flows(load, Processes(), costs) for load in loads]
    runs = [
        capacity_fit.Run(load, capacity.use(load, each, costs), each.frames, each.commits)
        for load, each in zip(loads, flows, strict=True)
    ]
    lines = capacity_fit.constants(runs).splitlines()
    assert "turns_per_s: 400 were reached" in lines[0]
    for line in lines[2:]:
        value, was = re.findall(r"[\d.]+", line.partition("=")[2])
        assert float(value) == pytest.approx(float(was), rel=0.01, abs=0.1), line


@pytest.mark.parametrize(
    "peer", [Tributary(), Webdis(), VictoriaMetrics(), PlainFlask(), Tutorial()]
)
def test_every_peer_receives_the_same_fleet(peer: Peer):
    request = peer.request("fleet")
    assert request is not None
    assert request.numbers == 20_000
    assert request.body.count(http_request.NUMBER) == 1


@pytest.mark.parametrize(
    ("stored", "lost", "unexplained"), [(99, 1, 0), (100, 0, 0), (108, 0, 0), (109, 0, 1)]
)
def test_unconfirmed_readings_are_neither_lost_nor_unexplained(
    stored: int, lost: int, unexplained: int
):
    kept = Reconciliation("Tributary", 100, stored, 8)
    assert (kept.lost, kept.unexplained) == (lost, unexplained)


@pytest.mark.parametrize(
    "kept", [Reconciliation("webdis", 100, 99, 8), Reconciliation("webdis", 100, 109, 8)]
)
def test_exits_with_1_after_a_loss_or_a_surplus(kept: Reconciliation):
    with pytest.raises(SystemExit) as ended:
        compare_options.fail_on_loss([kept])
    assert ended.value.code == 1


def memory(bytes_per_request: float, requests: int) -> MemoryGrowth:
    served = [requests * n // 20 for n in range(1, 21)]
    resident = [50_000_000 + int(bytes_per_request * n) for n in served]
    return MemoryGrowth(served, resident, Reconciliation("Tributary", 1, 1, 0))


@pytest.mark.parametrize(
    ("bytes_per_request", "requests", "verdict"),
    [(0, 2_000_000, "flat"), (8, 2_000_000, "not flat"), (0, 5_000, "run too short")],
)
def test_memory_is_flat_below_a_byte_per_request(
    bytes_per_request: float, requests: int, verdict: str
):
    assert memory(bytes_per_request, requests).verdict.startswith(verdict)


@pytest.mark.parametrize(
    ("received", "length"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Le", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", 41),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nA: b\r\n\r\nab", 47),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 27),
    ],
)
def test_computes_the_length_of_a_response(received: bytes, length: int | None):
    assert length_of(received) == length


def test_skips_and_reports_peers_that_are_not_installed():
    needed("wrk")
    needed("redis-server")
    missing = Webdis()
    missing.needs = ("no-such-program",)
    found, skipped = compare_options.installed([Tributary(), missing, PlainFlask()])
    assert [peer.name for peer in found] == ["Tributary", "Flask + gunicorn"]
    assert skipped == ["webdis was skipped: no-such-program is not installed"]


def test_rejects_a_run_without_the_programs_of_tributary():
    missing = Tributary()
    missing.needs = ("no-such-program",)
    with pytest.raises(click.UsageError, match="apt install"):
        compare_options.installed([missing])


@pytest.mark.parametrize("text", ["", "0", "1,x", "-3"])
def test_rejects_invalid_connections_with_an_example(text: str):
    ended = CliRunner().invoke(bench_ingest.command, ["--connections", text])
    assert ended.exit_code == 2
    assert "such as 1,32,256" in ended.output


def test_exits_after_an_unexpected_response(tmp_path: Path):
    needed("redis-server")
    peer = PlainFlask()
    try:
        peer.start(tmp_path)
        right = peer.request("fleet")
        assert right is not None
        http_request.check(peer.url, right)
        with pytest.raises(SystemExit, match="expected 200"):
            http_request.check(peer.url, right._replace(body=b'{"engine_temperature":"hot"}'))
        assert peer.stored() == 1
    finally:
        peer.stop()
