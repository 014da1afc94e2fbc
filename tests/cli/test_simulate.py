"""`tributary simulate` against a correct server and against incorrect ones."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.processes import Deployment, Process, Server, sigint_ignored
from support.scripted import accepted, later, no, scripted
from support.waiting import wait_until

from tributary.process.server_socket import listen

Run = Callable[..., Process]


def counts(text: str) -> dict[str, int]:
    match = re.search(r"sent (\d+), accepted (\d+), refused (\d+)", text)
    assert match, text
    return dict(zip(("sent", "accepted", "refused"), map(int, match.groups()), strict=True))


def test_a_fleet_is_sent_and_collect_returns_what_was_sent(run: Run, deployment: Deployment):
    drive = ("--devices", "6", "--rate", "200", "--seconds", "3", "--seed", "101")
    process = run("simulate", "--url", deployment.url, *drive)
    assert process.end() == 0, process.text
    found = counts(process.text)
    assert found["sent"] == 600
    assert found["accepted"] + found["refused"] == 600
    assert found["refused"] > 5
    assert "6 of 6 cars match what was sent" in process.text
    assert re.search(r"late +[1-9]\d* readings", process.text)
    assert re.search(r"repeated +[1-9]\d* readings", process.text)
    status, response = deployment.get("/collect?device=sim-101/car-1")
    assert status == 200
    assert 600 < response["current_engine_rpm"] < 3200


def test_a_second_drive_of_the_same_fleet_agrees(run: Run, deployment: Deployment):
    """Though its cars have a past, and send less than counts in an average."""
    drive = ("--devices", "4", "--rate", "10", "--seconds", "1", "--seed", "102")
    for _ in range(2):
        process = run("simulate", "--url", deployment.url, *drive)
        assert process.end() == 0, process.text


def test_ctrl_c_ends_the_drive_and_what_was_sent_is_checked(run: Run, deployment: Deployment):
    drive = ("--devices", "2", "--rate", "50", "--seconds", "600", "--seed", "103")
    process = run("simulate", "--url", deployment.url, *drive)
    wait_until(lambda: deployment.get("/collect?device=sim-103/car-2")[0] == 200, "a reading")
    process.signal(signal.SIGINT)
    assert process.end() == 0, process.text
    assert "interrupted" in process.text
    assert "2 of 2 cars match" in process.text


def test_a_server_with_another_average_does_not_agree(run: Run, tmp_path: Path):
    deployment = Deployment(tmp_path, environ={"TRIBUTARY_AVERAGE_OVER": "3"})
    drive = ("--devices", "1", "--rate", "20", "--seconds", "1", "--timeout", "0.2")
    process = run("simulate", "--url", deployment.url, *drive)
    assert process.end() == 1
    assert "0 of 1 cars match" in process.text
    assert re.search(r"car-1: average_engine_rpm is [\d.]+, expected [\d.]+", process.text)
    assert deployment.stop() == 0


def test_without_aggregators_nothing_agrees(run: Run, own_server: Callable[..., Server]):
    with listen("127.0.0.1", 0) as listener:
        fd, port = listener.fileno(), listener.getsockname()[1]
        run("web", "--listener-fd", str(fd), "--redis-url", own_server().url, pass_fds=(fd,))
    drive = ("--devices", "2", "--rate", "20", "--seconds", "0.5", "--timeout", "0.2")
    process = run("simulate", "--url", f"http://127.0.0.1:{port}", *drive)
    assert process.end() == 1
    assert "0 of 2 cars match" in process.text
    assert "current_speed is None" in process.text


def test_readings_that_could_not_be_delivered_are_counted(run: Run):
    with scripted(accepted(0), no(404, "unknown_device"), later(retry_after="3600")) as server:
        drive = ("--devices", "1", "--rate", "20", "--seconds", "1")
        process = run("simulate", "--url", server.url, *drive)
        assert process.end() == 1
    assert re.search(r"undelivered +[1-9]\d* readings", process.text)
    assert "Redis is away" in process.text


def test_the_token_may_be_in_the_environment(run: Run):
    drive = ("--devices", "1", "--rate", "20", "--seconds", "0.2")
    environ = {"TRIBUTARY_TOKEN": "trb_of_environment"}
    with scripted(no(401, "unauthorized")) as server:
        process = run("simulate", "--url", server.url, *drive, environ=environ)
        process.end()
        assert {a.headers["Authorization"] for a in server.requests} == {
            "Bearer trb_of_environment"
        }
    assert "trb_of_environment" not in process.text


def test_an_unreachable_server_is_reported(run: Run):
    process = run("simulate", "--url", "http://127.0.0.1:9")
    assert process.end() == 1
    assert "start a server with `tributary up`" in process.text


def test_a_fleet_without_cars_is_refused(run: Run):
    process = run("simulate", "--devices", "0")
    assert process.end() == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_cleanly_when_started_with_sigint_ignored(
    run: Run, deployment: Deployment, number: signal.Signals
):
    drive = ("--devices", "2", "--rate", "50", "--seconds", "600", "--seed", str(110 + number))
    with sigint_ignored():
        process = run("simulate", "--url", deployment.url, *drive)
    device = f"sim-{110 + number}/car-2"
    wait_until(lambda: deployment.get(f"/collect?device={device}")[0] == 200, "a reading")
    process.signal(number)
    assert process.end() == 0, process.text
    assert "interrupted" in process.text
