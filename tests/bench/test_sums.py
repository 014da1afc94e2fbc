"""What the benches compute from what they measure."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from support.programs import needed

from bench import bench_ingest, compare_options, http_request, report
from bench.memory_growth import Memory
from bench.openloop import length_of
from bench.peers.tributary_peer import PlainFlask, Tributary
from bench.peers.webdis import Webdis
from bench.rounds import Comparison, Kept, Sample, compare
from bench.wrk import Load

COMPARISON = Comparison("one reading", "single", "webdis", 1.5)


def sample(number: int, peer: str, rate: float) -> Sample:
    return Sample(number, peer, "single", 32, rate, Load(1, 1, 0, 0, 1, 1), 0.5, None)


def test_the_ratio_is_the_median_of_the_rounds_ratios():
    ours, theirs = [200, 90, 400], [100, 100, 100]
    samples = [sample(n, "Tributary", rate) for n, rate in enumerate(ours)]
    samples += [sample(n, "webdis", rate) for n, rate in enumerate(theirs)]
    [verdict] = compare(samples, [COMPARISON], "Tributary")
    assert (verdict.least, verdict.median, verdict.most) == (0.9, 2.0, 4.0)
    assert verdict.is_met
    assert verdict.per_cpu == 2.0


def test_a_peer_that_was_left_out_has_no_ratio():
    assert compare([sample(0, "Tributary", 1)], [COMPARISON], "Tributary") == []


def test_a_figure_that_disappoints_is_printed():
    samples = [sample(0, "Tributary", 10), sample(0, "webdis", 100)]
    assert "**no**" in report.verdicts(compare(samples, [COMPARISON], "Tributary"))


@pytest.mark.parametrize(
    ("stored", "lost", "surplus"), [(99, 1, 0), (100, 0, 0), (108, 0, 0), (109, 0, 1)]
)
def test_what_was_not_heard_is_neither_lost_nor_unexplained(stored: int, lost: int, surplus: int):
    kept = Kept(0, "Tributary", 100, stored, 8)
    assert (kept.lost, kept.surplus) == (lost, surplus)


@pytest.mark.parametrize("kept", [Kept(0, "webdis", 100, 99, 8), Kept(0, "webdis", 100, 109, 8)])
def test_a_loss_is_a_failure(kept: Kept):
    with pytest.raises(SystemExit) as ended:
        compare_options.judge([kept])
    assert ended.value.code == 1


def memory(bytes_per_request: float, requests: int) -> Memory:
    served = [requests * n // 20 for n in range(1, 21)]
    resident = [50_000_000 + int(bytes_per_request * n) for n in served]
    return Memory(served, resident, Kept(0, "Tributary", 1, 1, 0))


@pytest.mark.parametrize(
    ("bytes_per_request", "requests", "verdict"),
    [(0, 2_000_000, "flat"), (8, 2_000_000, "not flat"), (0, 5_000, "too short to tell")],
)
def test_memory_is_flat_below_a_byte_a_request(
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
def test_an_answer_is_complete_when_its_length_has_come(received: bytes, length: int | None):
    assert length_of(received) == length


def test_what_is_not_installed_is_left_out_and_said():
    needed("wrk")
    needed("redis-server")
    missing = Webdis()
    missing.needs = ("no-such-program",)
    found, skipped = compare_options.present([Tributary(), missing, PlainFlask()])
    assert [peer.name for peer in found] == ["Tributary", "Flask + gunicorn"]
    assert skipped == ["webdis was left out: no-such-program is not installed"]


def test_without_what_tributary_needs_there_is_no_bench():
    missing = Tributary()
    missing.needs = ("no-such-program",)
    with pytest.raises(click.UsageError, match="apt install"):
        compare_options.present([missing])


@pytest.mark.parametrize("text", ["", "0", "1,x", "-3"])
def test_connections_that_are_no_numbers_are_refused_with_an_example(text: str):
    ended = CliRunner().invoke(bench_ingest.command, ["--connections", text])
    assert ended.exit_code == 2
    assert "such as 1,32,256" in ended.output


def test_an_answer_that_is_not_the_one_to_be_measured_ends_the_bench(tmp_path: Path):
    needed("redis-server")
    peer = PlainFlask()
    try:
        peer.start(tmp_path)
        right = peer.request("single")
        assert right is not None
        http_request.check(peer.url, right)
        with pytest.raises(SystemExit, match="can be measured"):
            http_request.check(peer.url, right._replace(body=b'{"engine_temperature":"hot"}'))
        assert peer.stored() == 1
    finally:
        peer.stop()
