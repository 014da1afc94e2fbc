"""3. Retry a request safely: the same Idempotency-Key is counted once."""

from __future__ import annotations

from support.processes import Deployment
from support.waiting import wait_until


def test_a_retry_with_the_same_key_is_counted_once(deployment: Deployment):
    reading = {"device": "bus-1", "speed": 50}
    first = deployment.post("/record", reading, Idempotency_Key="trip-7")
    retry = deployment.post("/record", reading, Idempotency_Key="trip-7")
    assert first == (200, {"success": True})
    assert retry == (200, {"success": True, "duplicate": True})

    def count() -> int:
        status, body = deployment.get("/api/v1/devices/bus-1")
        return body["metrics"]["speed"]["total"]["count"] if status == 200 else 0

    # Another reading, so that there is something to wait for.
    deployment.post("/record", reading, Idempotency_Key="trip-8")
    wait_until(lambda: count() >= 2, "both keys")
    assert count() == 2


def test_another_body_with_the_same_key_is_rejected(deployment: Deployment):
    deployment.post("/record", {"device": "bus-2", "speed": 50}, Idempotency_Key="trip-9")
    status, body = deployment.post(
        "/record", {"device": "bus-2", "speed": 60}, Idempotency_Key="trip-9"
    )
    assert status == 422
    assert body["error"]["code"] == "key_reused"
