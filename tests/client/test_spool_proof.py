"""What is done about a batch whose key the server may have forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.http_proxy import HttpProxy
from support.processes import Deployment
from support.scripted import HANG_UP, READY, Response, accepted, scripted
from support.waiting import wait_until

from tributary.client import Spool, Tributary
from tributary.client.spool_file import SpoolFile
from tributary.client.spool_proof import (
    UNTRACKED,
    Applied,
    Span,
    Verdict,
    applied_of,
    newest_ms,
    spans,
    verdict,
)

COUNTED, NOT_COUNTED, UNKNOWN = Verdict.COUNTED, Verdict.NOT_COUNTED, Verdict.UNKNOWN
T_MS = 1_800_000_000_000
TIME = "2027-01-15T08:00:00.000Z"  # T_MS


@pytest.mark.parametrize(
    ("newest", "delivered", "is_applied", "expected"),
    [
        (200, -1, False, COUNTED),
        (200, 99, True, COUNTED),
        (200, 200, True, UNKNOWN),  # a batch before has a reading of that time
        (200, UNTRACKED, True, UNKNOWN),
        (99, 99, True, NOT_COUNTED),
        (None, -1, True, NOT_COUNTED),
        (99, 99, False, UNKNOWN),  # it may wait to be applied
        (None, -1, False, UNKNOWN),
        (100, -1, True, UNKNOWN),  # of another sender
        (150, -1, True, UNKNOWN),
        (201, -1, True, UNKNOWN),
    ],
)
def test_the_newest_reading_of_a_device_proves_an_outcome(
    newest: int | None, delivered: int, *, is_applied: bool, expected: Verdict
):
    found = verdict(
        {"a": Span(100, 200)}, lambda _: delivered, lambda _: Applied(newest), is_applied=is_applied
    )
    assert found is expected


@pytest.mark.parametrize(
    ("newest", "expected"),
    [((200, 200), COUNTED), ((99, 99), NOT_COUNTED), ((200, 99), UNKNOWN), ((200, 300), UNKNOWN)],
)
def test_the_devices_of_a_batch_must_agree(newest: tuple[int, int], expected: Verdict):
    applied = dict(zip("ab", map(Applied, newest), strict=True))
    of_devices = dict.fromkeys("ab", Span(100, 200))
    assert verdict(of_devices, lambda _: -1, applied.__getitem__, is_applied=True) is expected


@pytest.mark.parametrize(
    ("bodies", "expected"),
    [
        ([b'{"recorded_at":%d,"a":1}' % T_MS], {"default": Span(T_MS, T_MS)}),
        (
            [b'{"device":"x","recorded_at":%d}' % T_MS, b'{"device":"x","recorded_at":1800000001}'],
            {"x": Span(T_MS, T_MS + 1000)},
        ),
        ([b'{"device":"x","recorded_at":"%b"}' % TIME.encode()], {"x": Span(T_MS, T_MS)}),
        ([b'{"device":7,"recorded_at":%d}' % T_MS], None),
        ([b'{"device_id":"x","recorded_at":%d}' % T_MS], None),
        ([b'{"device":"x","ts":%d}' % T_MS], None),
        ([b'{"device":"x","recorded_at":"noon"}'], None),
        ([b'{"device":"x","recorded_at":true}'], None),
    ],
)
def test_spans_are_known_only_for_plain_devices_and_times(
    bodies: list[bytes], expected: dict[str, Span] | None
):
    assert spans(bodies) == expected


def test_a_device_in_another_form_proves_nothing_later():
    bodies = [b'{"device":"x","ts":1}', b'{"deviceId":7,"recorded_at":1}', b'{"a":1}']
    assert newest_ms(bodies) == dict.fromkeys(("x", "7", "default"), UNTRACKED)


@pytest.mark.parametrize(
    ("status", "code", "body", "expected"),
    [
        (200, "", {"recorded_at": TIME}, Applied(T_MS)),
        (404, "unknown_device", {}, Applied(None)),
        (404, "not_found", {}, None),
        (403, "forbidden", {}, None),
        (200, "", {"recorded_at": None}, None),
        (200, "", None, None),
    ],
)
def test_only_a_response_of_collect_shows_what_is_applied(
    status: int, code: str, body: dict[str, Any] | None, expected: Applied | None
):
    assert applied_of(status, code, body) == expected


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment that forgets a key after a second."""
    environ = {"TRIBUTARY_IDEMPOTENCY_TTL_MS": "1000"}
    running = Deployment(tmp_path_factory.mktemp("up"), environ=environ)
    yield running
    running.stop()


@pytest.fixture
def proxy(forgetful: Deployment) -> Iterator[HttpProxy]:
    running = HttpProxy(int(forgetful.url.rpartition(":")[2]))
    yield running
    running.close()


def count(deployment: Deployment, device: str) -> int:
    status, found = deployment.get(f"/api/v1/devices/{device}")
    return int(found["metrics"]["seq"]["total"]["count"]) if status == 200 else 0


@pytest.mark.parametrize(("kind", "duplicates"), [("after", 3), ("before", 0), ("within", 0)])
def test_the_outcome_of_a_batch_is_proved_after_its_key_is_forgotten(
    forgetful: Deployment, proxy: HttpProxy, tmp_path: Path, kind: str, duplicates: int
):
    device = f"proof-{kind}"
    with Tributary(proxy.url) as tributary, tributary.spool(tmp_path / "s") as spool:
        spool.record(device=device, seq=0)
        assert spool.flush(30)
        proxy.inject(kind)
        spool.record_all({"device": device, "seq": number} for number in (1, 2, 3))
        wait_until(proxy.has_injected, "the fault")
        spool.record(device=device, seq=4)
        wait_until(lambda: spool.flush(0.1), "delivery")
        assert (spool.spooled.accepted, spool.spooled.duplicates) == (5, duplicates)
        assert spool.spooled.uncertain == 0
    wait_until(lambda: count(forgetful, device) >= 5, "all to be counted")
    assert count(forgetful, device) == 5


def uncertain(server_fixed: dict[str, Response], path: Path) -> Spool:
    with scripted(Response(HANG_UP), accepted(1), fixed={**READY, **server_fixed}) as server:
        client = Tributary(server.url)
        with client, client.spool(path, key_lifetime_s=1) as spool:
            spool.record(seq=1)
            wait_until(lambda: len(server.requests) >= 1, "the first attempt")
            spool.record(seq=2)
            wait_until(lambda: spool.flush(0.1), "delivery of the second")
        assert [received.body[0]["seq"] for received in server.requests] == [1, 2]
    return spool


LAGGED = Response(200, {"lag_s": 0.0})
REFUSED = Response(403, {"error": {"code": "forbidden", "message": "no"}})


@pytest.mark.parametrize(
    "fixed",
    [
        {"/api/v1/status": REFUSED},
        {"/api/v1/status": LAGGED, "/collect": REFUSED},
        {
            "/api/v1/status": LAGGED,
            "/collect": Response(200, {"recorded_at": "2099-01-01T00:00:00Z"}),
        },
    ],
)
def test_without_a_proof_a_batch_is_set_aside_and_counted(
    fixed: dict[str, Response], tmp_path: Path
):
    spool = uncertain(fixed, tmp_path / "s")
    assert (spool.spooled.uncertain, spool.spooled.accepted) == (1, 1)


def test_what_was_set_aside_makes_its_times_unfit_as_a_proof(tmp_path: Path):
    file = SpoolFile(tmp_path / "s", 1 << 20)
    file.add(lambda now_ms: [b'{"device":"x","recorded_at":%d}' % now_ms])
    batch = file.take(0.0, 600.0)
    assert batch is not None
    assert file.newest_ms("x") == -1
    newest = newest_ms(batch.bodies)
    file.set_aside(batch, newest)
    assert file.newest_ms("x") == newest["x"]
    file.close()


@pytest.mark.parametrize(
    ("resend", "expected"), [(True, (0, 2, {})), (False, (0, 1, {"uncertain": 1}))]
)
def test_uncertain_readings_are_sent_again_or_dropped_on_request(
    tmp_path: Path, *, resend: bool, expected: tuple[int, int, dict[str, int]]
):
    uncertain({"/api/v1/status": REFUSED}, tmp_path / "s")
    with scripted(accepted(1), fixed=READY) as server, Tributary(server.url) as tributary:
        with tributary.spool(tmp_path / "s") as spool:
            assert spool.settle_uncertain(resend=resend) == 1
            assert spool.flush(30)
            assert (
                spool.spooled.uncertain,
                spool.spooled.accepted,
                spool.spooled.dropped,
            ) == expected
        assert len(server.requests) == resend


def test_the_lifetime_of_keys_is_read_from_the_server(deployment: Deployment, tmp_path: Path):
    published = deployment.get("/openapi.json")[1]["paths"]["/record"]["post"]["parameters"]
    lifetimes = [each["x-lifetime-ms"] for each in published if each["name"] == "Idempotency-Key"]
    assert lifetimes == [600_000]
    with Tributary(deployment.url) as tributary, tributary.spool(tmp_path / "s") as spool:
        spool.record(device="proof-lifetime", seq=1)
        assert spool.flush(30)
        assert spool._delivery._lifetime_s == 600.0
