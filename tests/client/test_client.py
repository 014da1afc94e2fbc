"""The client: what it sends, what it sends again, and what it does with a no."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from support.processes import Deployment, Process, Server
from support.scripted import HANG_UP, OK, Response, Scripted, accepted, later, no, scripted
from support.waiting import wait_until

from tributary.client import ServerError, Tributary
from tributary.client.endpoint import pause_s
from tributary.errors import Misconfigured, Refused, Unavailable
from tributary.process.server_socket import listen


def keys(server: Scripted) -> list[str | None]:
    return [received.headers.get("Idempotency-Key") for received in server.requests]


class TestAgainstTheRealServer:
    def test_a_recorded_reading_is_collected(self, deployment: Deployment):
        with Tributary(deployment.url) as tributary:
            tributary.record({"device": "client-1"}, engine_temperature=92.3)
            wait_until(lambda: deployment.get("/collect?device=client-1")[0] == 200, "the reading")
            assert tributary.collect("client-1")["current_engine_temperature"] == 92.3

    def test_a_refused_reading_raises_with_code_and_field(self, deployment: Deployment):
        with Tributary(deployment.url) as tributary, pytest.raises(Refused) as refusal:
            tributary.record(device="client 2", speed=1)
        assert (refusal.value.status, refusal.value.code) == (422, "invalid_device")
        assert refusal.value.field == "device"

    def test_an_unknown_device_raises_with_status_404(self, deployment: Deployment):
        with Tributary(deployment.url) as tributary, pytest.raises(Refused) as refusal:
            tributary.collect("client-nobody")
        assert refusal.value.status == 404

    def test_valid_readings_of_an_array_are_recorded_and_invalid_ones_reported(
        self, deployment: Deployment
    ):
        readings = [{"device": "client-3", "speed": value} for value in (1, "ERR", 3, None, 5)]
        with Tributary(deployment.url) as tributary:
            receipt = tributary.record_all(readings)
            assert (receipt.sent, receipt.accepted, receipt.refused) == (5, 3, 2)
            assert [refusal.index for refusal in receipt.refusals] == [1, 3]
            assert {refusal.field for refusal in receipt.refusals} == {"speed"}
            wait_until(
                lambda: (
                    deployment.get("/collect?device=client-3")[0] == 200
                    and tributary.collect("client-3")["current_speed"] == 5.0
                ),
                "the last good reading",
            )
            assert tributary.collect("client-3")["average_speed"] == 3.0

    def test_an_array_over_the_limit_of_the_server_is_split(self, deployment: Deployment):
        readings = [{"device": "client-4", "recorded_at": 1e9, "speed": n} for n in range(25_000)]
        with Tributary(deployment.url) as tributary:
            assert tributary.record_all(readings).accepted == 25_000

            def count() -> int:
                _, response = deployment.get("/api/v1/devices/client-4")
                return response.get("metrics", {}).get("speed", {}).get("total", {}).get("count", 0)

            wait_until(lambda: count() == 25_000, "all of them to be counted")
            # The parts arrived in order: of equal times, the last one counts as the newest.
            assert tributary.collect("client-4")["current_speed"] == 24_999

    def test_a_batch_delivers_everything_in_order(self, deployment: Deployment):
        with Tributary(deployment.url) as tributary:
            with tributary.batch(max_readings=7) as batch:
                for number in range(100):
                    batch.record(device="client-5", recorded_at=1_600_000_000, speed=number)
            assert batch.receipt.accepted == 100
            wait_until(
                lambda: (
                    deployment.get("/collect?device=client-5")[0] == 200
                    and tributary.collect("client-5")["current_speed"] == 99
                ),
                "the last reading",
            )

    def test_readings_survive_an_outage_of_redis(
        self, own_server: Callable[..., Server], run: Callable[..., Process]
    ):
        redis = own_server()
        with listen("127.0.0.1", 0) as listener:
            fd, port = listener.fileno(), listener.getsockname()[1]
            run("web", "--listener-fd", str(fd), "--redis-url", redis.url, pass_fds=(fd,))
        url = f"http://127.0.0.1:{port}"
        with Tributary(url) as tributary:
            with tributary.batch(max_age_s=0.01) as batch:
                batch.record(speed=1)
                wait_until(lambda: batch.receipt.accepted == 1, "the first to be accepted")
                redis.kill()
                batch.record(speed=2)
                batch.record(speed=3)
                with Tributary(url, retry_for_s=0) as hasty, pytest.raises(Unavailable):
                    hasty.record(speed=0)
                assert batch.receipt.accepted == 1
                redis.start()
            assert (batch.receipt.accepted, batch.receipt.refused) == (3, 0)


class TestRepetition:
    @pytest.mark.parametrize("status", [429, 502, 503, 504])
    def test_a_retry_uses_the_same_key(self, status: int):
        with scripted(later(status), later(status), OK) as server:
            with Tributary(server.url) as tributary:
                tributary.record(speed=1)
            assert len(server.requests) == 3
            assert len(set(keys(server))) == 1
            assert server.requests[0] == server.requests[2]

    def test_a_request_is_retried_after_a_closed_connection(self):
        with scripted(Response(HANG_UP), accepted(1)) as server:
            with Tributary(server.url) as tributary:
                assert tributary.record_all([{"speed": 1}], key="k").accepted == 1
            assert keys(server) == ["k", "k"]

    def test_two_readings_never_share_a_key(self):
        with scripted(OK) as server:
            with Tributary(server.url) as tributary:
                tributary.record(speed=1)
                tributary.record(speed=1)
            assert len(set(keys(server))) == 2

    def test_retry_after_is_waited_for(self):
        with scripted(later(retry_after="1"), OK) as server, Tributary(server.url) as tributary:
            began_at_s = time.monotonic()
            tributary.record(speed=1)
            assert time.monotonic() - began_at_s >= 1.0

    def test_a_retry_after_beyond_the_deadline_fails_at_once(self):
        with scripted(later(retry_after="3600")) as server:
            with Tributary(server.url) as tributary, pytest.raises(Unavailable, match="is away"):
                tributary.record(speed=1)
            assert len(server.requests) == 1

    def test_retries_end_when_no_server_responds(self):
        with (
            Tributary("http://127.0.0.1:9", retry_for_s=0.3) as tributary,
            pytest.raises(Unavailable, match="refused"),
        ):
            tributary.record(speed=1)

    def test_backoff_grows_to_a_bound_with_jitter(self):
        assert all(0.05 <= pause_s(0) <= 0.1 for _ in range(100))
        assert all(2.5 <= pause_s(50) <= 5.0 for _ in range(100))
        assert len({pause_s(3) for _ in range(100)}) > 90
        assert all(7.0 <= pause_s(0, 7.0) < 7.1 for _ in range(100))

    @pytest.mark.parametrize("status", [400, 401, 403, 415, 422])
    def test_a_refused_request_is_not_retried(self, status: int):
        with scripted(no(status, "bad")) as server:
            with Tributary(server.url) as tributary, pytest.raises(Refused, match="because of bad"):
                tributary.record(speed=1)
            assert len(server.requests) == 1

    @pytest.mark.parametrize("response", [Response(500), Response(302), Response(200, [1])])
    def test_a_server_other_than_tributary_is_reported(self, response: Response):
        with scripted(response) as server:
            with Tributary(server.url) as tributary, pytest.raises(ServerError, match="Tributary"):
                tributary.record(speed=1)
            assert len(server.requests) == 1


class TestArrays:
    def test_skipped_readings_are_listed_in_the_receipt(self):
        rejected = [{"index": 1, "field": "speed", "code": "not_a_number", "message": "no"}]
        response = Response(200, {"success": True, "accepted": 2, "rejected": rejected})
        with scripted(response) as server, Tributary(server.url) as tributary:
            receipt = tributary.record_all([{"speed": 1}, {"speed": "x"}, {"speed": 3}])
            assert server.requests[0].path == "/record?on_error=skip"
        assert (receipt.accepted, receipt.refused) == (2, 1)
        assert receipt.refusals[0].index == 1

    def test_the_rest_is_sent_without_the_reading_that_was_refused(self):
        responses = (no(422, "bad", 0), no(422, "bad", 1), accepted(1))
        with scripted(*responses) as server, Tributary(server.url) as tributary:
            receipt = tributary.record_all([{"a": 0}, {"a": 1}, {"a": 2}], key="k")
            assert [received.body for received in server.requests][1:] == [
                [{"a": 1}, {"a": 2}],
                [{"a": 1}],
            ]
        assert [refusal.index for refusal in receipt.refusals] == [0, 2]
        assert receipt.accepted == 1

    def test_a_part_has_its_own_reproducible_key(self):
        runs = []
        for _ in range(2):
            with scripted(no(413, "large"), accepted(1)) as server, Tributary(server.url) as client:
                client.record_all([{"a": 0}, {"a": 1}], key="k")
                runs.append(keys(server))
                assert [received.body for received in server.requests] == [
                    [{"a": 0}, {"a": 1}],
                    [{"a": 0}],
                    [{"a": 1}],
                ]
        assert runs[0] == runs[1]
        assert len(set(runs[0])) == 3

    def test_a_single_reading_that_is_too_large_is_refused(self):
        with scripted(no(413, "large")) as server, Tributary(server.url) as tributary:
            receipt = tributary.record_all([{"a": 0}])
        assert (receipt.accepted, receipt.refused) == (0, 1)

    def test_a_duplicate_counts_as_accepted_and_as_duplicate(self):
        response = Response(200, {"success": True, "duplicate": True})
        with scripted(response) as server, Tributary(server.url) as tributary:
            receipt = tributary.record_all([{"a": 0}, {"a": 1}], key="k")
        assert (receipt.accepted, receipt.duplicates, receipt.refused) == (2, 2, 0)

    def test_a_duplicate_of_a_batch_accepted_in_part_lists_the_rejected_readings(self):
        rejected = [{"index": 1, "field": "a", "code": "not_a_number", "message": "no"}]
        body = {"success": True, "duplicate": True, "accepted": 1, "rejected": rejected}
        with scripted(Response(200, body)) as server, Tributary(server.url) as tributary:
            receipt = tributary.record_all([{"a": 0}, {"a": "x"}], key="k")
        assert (receipt.accepted, receipt.duplicates, receipt.refused) == (1, 1, 1)
        assert [refusal.index for refusal in receipt.refusals] == [1]

    def test_without_readings_no_request_is_sent(self):
        with scripted(OK) as server, Tributary(server.url) as tributary:
            assert tributary.record_all([]).sent == 0
            assert server.requests == []

    def test_the_token_is_sent_with_every_request(self):
        with scripted(OK) as server, Tributary(server.url, "secret") as tributary:
            tributary.record(a=1)
            tributary.collect("a")
            sent = [received.headers["Authorization"] for received in server.requests]
        assert sent == ["Bearer secret", "Bearer secret"]


class TestAddress:
    @pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://a", "http://", "http://[::1"])
    def test_an_invalid_url_is_reported_with_a_remedy(self, url: str):
        with pytest.raises(Misconfigured, match=r"use a URL like http://127\.0\.0\.1:8000"):
            Tributary(url)

    def test_a_password_in_the_url_is_refused_and_not_repeated(self):
        with pytest.raises(Misconfigured, match="user") as refused:
            Tributary("http://me:secret@127.0.0.1:8000")
        assert "secret" not in str(refused.value)

    def test_a_trailing_slash_is_ignored(self):
        with scripted(OK) as server, Tributary(server.url + "/") as tributary:
            tributary.record(a=1)
            assert server.requests[0].path == "/record"
