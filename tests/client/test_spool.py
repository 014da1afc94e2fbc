"""The spool: what it sends, what it sends again, and what it counts."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.processes import Deployment
from support.scripted import HANG_UP, READY, Response, Scripted, accepted, later, no, scripted
from support.waiting import wait_until

from tributary.client import Spool, Tributary
from tributary.model.clock import utc_ms

NOBODY = "http://127.0.0.1:9"
Start = Callable[..., Spool]


def serve(*responses: Response, fixed: dict[str, Response] | None = None):
    return scripted(*responses, fixed={**READY, **(fixed or {})})


def keys(server: Scripted) -> list[str]:
    return [received.headers["Idempotency-Key"] for received in server.requests]


def sequence(server: Scripted) -> list[list[int]]:
    return [[reading["seq"] for reading in received.body] for received in server.requests]


def total(deployment: Deployment, device: str) -> dict[str, float]:
    status, found = deployment.get(f"/api/v1/devices/{device}")
    return found["metrics"]["seq"]["total"] if status == 200 else {"count": 0}


def balanced(spool: Spool) -> bool:
    s = spool.spooled
    known = s.accepted + sum(s.rejected.values()) + sum(s.dropped.values())
    return s.recorded == known + s.uncertain + s.waiting


def test_readings_of_an_outage_are_delivered_after_a_restart_with_the_time_of_recording(
    deployment: Deployment, tmp_path: Path
):
    path = tmp_path / "readings.spool"
    with Tributary(NOBODY) as away, away.spool(path) as spool:
        before_ms = utc_ms()
        for number in range(100):
            spool.record(device="spool-1", seq=number)
        after_ms = utc_ms()
        assert not spool.flush(0.2)
        assert (spool.spooled.waiting, spool.spooled.accepted) == (100, 0)
        assert "refused" in (spool.spooled.problem or "")
    with Tributary(deployment.url) as back, back.spool(path) as spool:
        wait_until(lambda: after_ms < utc_ms(), "a later millisecond")
        assert spool.flush(30)
        assert (spool.spooled.waiting, spool.spooled.accepted) == (0, 100)
        assert spool.spooled.problem is None
        wait_until(lambda: total(deployment, "spool-1")["count"] == 100, "all to be counted")
        document = back.collect("spool-1")
    assert document["current_seq"] == 99
    newest = deployment.get("/api/v1/devices?prefix=spool-1")[1]["devices"][0]
    assert before_ms <= utc_ms() - newest["age_ms"] <= utc_ms()
    assert document["recorded_at"] <= time.strftime("%Y-%m-%dT%H:%M:%S.999Z", time.gmtime())


def test_a_given_time_is_kept_and_an_absent_one_is_that_of_recording(tmp_path: Path):
    with serve(accepted(4)) as server, Tributary(server.url) as tributary:
        with tributary.spool(tmp_path / "s") as spool:
            before_ms = utc_ms()
            spool.record_all([
                {"seq": 0},
                {"seq": 1, "recorded_at": None},
                {"seq": 2, "recorded_at": "2026-01-01T00:00:00Z"},
                {"seq": 3, "ts": 1_700_000_000},
            ])  # fmt: skip
            assert spool.flush(10)
        first, second, third, fourth = server.requests[0].body
    assert before_ms <= first["recorded_at"] == second["recorded_at"] <= utc_ms()
    assert third["recorded_at"] == "2026-01-01T00:00:00Z"
    assert "recorded_at" not in fourth


def test_a_lost_reply_is_followed_by_the_same_body_under_the_same_key(tmp_path: Path):
    duplicate = Response(200, {"success": True, "duplicate": True, "accepted": 1})
    with serve(Response(HANG_UP), later(), duplicate) as server:
        with Tributary(server.url) as tributary, tributary.spool(tmp_path / "s") as spool:
            spool.record(seq=1)
            assert spool.flush(30)
            assert (spool.spooled.accepted, spool.spooled.duplicates) == (1, 1)
        assert len(set(keys(server))) == 1
        assert server.requests[0].body == server.requests[1].body == server.requests[2].body


def test_a_batch_keeps_its_key_across_a_restart_and_later_readings_get_another(tmp_path: Path):
    with serve(Response(HANG_UP), no(401, "unauthorized"), accepted(1)) as server:
        with Tributary(server.url) as tributary:
            with tributary.spool(tmp_path / "s") as spool:
                spool.record(seq=1)
                wait_until(lambda: len(server.requests) >= 2, "a refused retry")
            with tributary.spool(tmp_path / "s") as spool:
                spool.record(seq=2)
                assert spool.flush(30)
        first, *_, last = keys(server)
        assert set(keys(server)[:-1]) == {first}
        assert last != first
        assert sequence(server)[-1] == [2]


def test_the_oldest_are_delivered_first(tmp_path: Path):
    with Tributary(NOBODY) as away, away.spool(tmp_path / "s") as spool:
        spool.record_all({"seq": number} for number in range(2500))
    with serve(accepted(1000), accepted(1000), accepted(501)) as server:
        with Tributary(server.url) as tributary, tributary.spool(tmp_path / "s") as spool:
            spool.record(seq=2500)
            assert spool.flush(30)
        assert [number for batch in sequence(server) for number in batch] == [*range(2501)]
        assert len(set(keys(server))) == 3


def test_rejected_readings_are_counted_by_code_and_block_nothing(
    deployment: Deployment, tmp_path: Path
):
    with Tributary(deployment.url) as tributary, tributary.spool(tmp_path / "s") as spool:
        spool.record_all([
            {"device": "spool-2", "seq": 1},
            {"device": "not a device", "seq": 1},
            {"device": "spool-2", "seq": [1]},
            {"device": "spool-2", "seq": 2},
        ])  # fmt: skip
        assert spool.flush(30)
        assert spool.spooled.accepted == 2
        assert sum(spool.spooled.rejected.values()) == 2
        assert "invalid_device" in spool.spooled.rejected
        assert balanced(spool)


@pytest.mark.parametrize(("status", "code"), [(413, "too_large"), (422, "bad"), (400, "not_json")])
def test_a_batch_refused_as_a_whole_is_halved_down_to_the_bad_reading(
    tmp_path: Path, status: int, code: str
):
    responses = (no(status, code), accepted(2), no(status, code), no(status, code), accepted(1))
    with serve(*responses) as server, Tributary(server.url) as tributary:
        with tributary.spool(tmp_path / "s") as spool:
            spool.record_all({"seq": number} for number in range(4))
            assert spool.flush(30)
            assert (spool.spooled.accepted, spool.spooled.rejected) == (3, {code: 1})
        assert sequence(server) == [[0, 1, 2, 3], [0, 1], [2, 3], [2], [3]]
        assert len(set(keys(server))) == 5


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "token"), (403, "scopes"), (404, "not_found")]
)
def test_a_refused_token_or_address_is_reported_and_everything_kept(
    tmp_path: Path, status: int, remedy: str
):
    with serve(no(status, "not_found"), accepted(1)) as server:
        client = Tributary(server.url)
        with client, client.spool(tmp_path / "s") as spool:
            spool.record(seq=1)
            wait_until(lambda: spool.spooled.problem, "the problem")
            assert remedy in (spool.spooled.problem or "")
            assert (spool.spooled.waiting, spool.spooled.rejected) == (1, {})
            spool.record(seq=2)
            assert spool.flush(30)
            assert spool.spooled.problem is None
            assert spool.spooled.accepted == 2


def test_a_page_of_another_server_is_not_taken_for_an_acknowledgement(tmp_path: Path):
    with serve(Response(200, ["a page"]), accepted(1)) as server:
        with Tributary(server.url) as tributary, tributary.spool(tmp_path / "s") as spool:
            spool.record(seq=1)
            assert spool.flush(30)
        assert keys(server)[0] == keys(server)[1]


def test_retry_after_is_honoured_up_to_an_hour_even_by_flush(tmp_path: Path):
    with serve(later(429, "9" * 400)) as server, Tributary(server.url) as tributary:
        with tributary.spool(tmp_path / "s") as spool:
            spool.record(seq=1)
            wait_until(lambda: spool.spooled.problem, "the problem")
            assert not spool.flush(0.5)
            assert 3500 < spool._next_s - time.monotonic() < 3700
        assert len(server.requests) == 1


def test_no_batch_is_sent_while_the_server_is_not_ready(tmp_path: Path):
    away = Response(503, {"ready": False, "reasons": ["Redis is away"]})
    with serve(accepted(1), fixed={"/readyz": away}) as server, Tributary(server.url) as tributary:
        with tributary.spool(tmp_path / "s") as spool:
            spool.record(seq=1)
            wait_until(lambda: spool.spooled.problem, "the problem")
            assert "Redis is away" in (spool.spooled.problem or "")
        assert server.requests == []


def test_a_batch_that_the_server_fails_on_is_set_aside(tmp_path: Path):
    failure = no(500, "internal_error")
    with serve(*[failure] * 10, accepted(1)) as server, Tributary(server.url) as tributary:
        with tributary.spool(tmp_path / "s") as spool:
            spool.record(seq=1)
            for _ in range(10):
                spool.flush(0.05)
            wait_until(lambda: spool.flush(0.05) and spool.spooled.uncertain, "it to be set aside")
            spool.record(seq=2)
            assert spool.flush(30)
            assert (spool.spooled.uncertain, spool.spooled.accepted) == (1, 1)
            assert balanced(spool)
            assert spool.settle_uncertain(resend=True) == 1
            assert spool.flush(30)
            assert (spool.spooled.uncertain, spool.spooled.accepted) == (0, 2)
        assert sequence(server) == [[1]] * 10 + [[2], [1]]


def test_many_threads_record_into_one_spool(deployment: Deployment, tmp_path: Path):
    with Tributary(deployment.url) as tributary, tributary.spool(tmp_path / "s") as spool:
        threads = [
            threading.Thread(
                target=lambda first=first: [
                    spool.record(device="spool-3", seq=first + n) for n in range(25)
                ]
            )
            for first in range(0, 200, 25)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert spool.flush(30)
        assert spool.spooled.accepted == 200
        wait_until(lambda: total(deployment, "spool-3")["count"] == 200, "all to be counted")
    assert total(deployment, "spool-3")["mean"] == pytest.approx(99.5)


def test_a_program_that_exits_without_closing_delivers(deployment: Deployment, tmp_path: Path):
    program = (
        "import sys\nfrom tributary.client import Tributary\n"
        "spool = Tributary(sys.argv[1]).spool(sys.argv[2])\n"
        "spool.record(device='spool-4', seq=1)\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, deployment.url, str(tmp_path / "s")], check=True, timeout=60
    )
    wait_until(lambda: total(deployment, "spool-4")["count"] == 1, "the reading")


def test_counts_are_still_there_after_close(tmp_path: Path):
    with serve(accepted(1)) as server, Tributary(server.url) as tributary:
        with tributary.spool(tmp_path / "s") as spool:
            spool.record(seq=1)
            assert spool.flush(30)
        assert spool.spooled.accepted == 1
        assert json.dumps(spool.spooled._asdict())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_the_delivery_is_reported_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with Tributary(NOBODY) as tributary, tributary.spool(tmp_path / "s") as spool:
        monkeypatch.setattr(spool._delivery, "step", lambda: 1 / 0)
        spool.record(seq=1)
        wait_until(lambda: not spool._thread.is_alive(), "the thread to end")
        spool.record(seq=2)
        assert "restart the program" in (spool.spooled.problem or "")
        assert spool.spooled.waiting == 2
