"""What a request must pass before its readings are appended, and in which order."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from types import SimpleNamespace

import msgspec
import pytest
import redis

from ingest.admission import Admission, Admitted, query_parser
from ingest.doors.door import Door
from ingest.doors.influx.write import V2Door
from ingest.doors.record import RecordDoor
from tributary.auth import tokens
from tributary.auth.guard import Guard, RequestHeaders
from tributary.auth.tokens import Token
from tributary.errors import Refused
from tributary.settings import Settings

NOW_MS = 1_800_000_000_000
GOOD = b'{"device":"car-7","a":1}'
Change = Callable[..., Settings]


def admission_of(settings: Settings, client: redis.Redis) -> Admission:
    return Admission(settings, Guard(settings, client))


def admit(
    admission: Admission,
    body: bytes,
    query: bytes = b"",
    now_ms: int = NOW_MS,
    door: Door = RecordDoor(),  # noqa: B008 - it has no state
    **fields: str,
) -> Admitted:
    request = SimpleNamespace(head=RequestHeaders(**fields), query=query_parser(query), body=body)
    return admission.admit(door, request, now_ms)


def rejection(admission: Admission, body: bytes, query: bytes = b"", **fields: str) -> Refused:
    with pytest.raises(Refused) as caught:
        admit(admission, body, query, **fields)
    return caught.value


def test_admits_readings_and_prepares_the_response(settings: Settings, client: redis.Redis):
    admitted = admit(admission_of(settings, client), GOOD)
    assert list(admitted.batch.devices()) == ["car-7"]
    assert admitted.response.body == b'{"success":true}'
    assert admitted.idempotency is None


def test_checks_the_token_before_the_body(settings: Settings, client: redis.Redis):
    secret = tokens.create(client, Token("a", "", "car-*", ("record",), 0))
    admission = admission_of(settings, client)
    assert rejection(admission, b"not json").status == 401
    sent = {"authorization": f"Bearer {secret}"}
    assert rejection(admission, b"not json", **sent).status == 400
    assert rejection(admission, b'{"device":"van-1","a":1}', **sent).status == 403
    assert admit(admission, GOOD, **sent).response.body == b'{"success":true}'


def test_limits_a_compressed_body_like_a_plain_one(change: Change, client: redis.Redis):
    admission = admission_of(change(body_max_bytes=1024), client)
    compressed = gzip.compress(GOOD.ljust(1024))
    assert admit(admission, compressed, content_encoding="gzip").batch.readings == 1
    beyond = gzip.compress(GOOD.ljust(1025))
    assert rejection(admission, beyond, content_encoding="gzip").status == 413


@pytest.mark.parametrize("query", [b"on_error=skip", b"x=1&on_error=skip", b"on%5Ferror=%73kip"])
def test_skips_bad_readings_on_request(settings: Settings, client: redis.Redis, query: bytes):
    admitted = admit(admission_of(settings, client), b'[{"a":1},{"a":null}]', query)
    body = msgspec.json.decode(admitted.response.body)
    assert (body["accepted"], body["rejected"][0]["index"]) == (1, 1)


def test_rejects_an_unknown_on_error(settings: Settings, client: redis.Redis):
    admission = admission_of(settings, client)
    for query in (b"on_error=", b"on_error=no", b"on_error=skip&on_error=no"):
        assert rejection(admission, GOOD, query).code == "invalid_on_error"


def test_a_key_belongs_to_the_token_that_sent_it(settings: Settings, client: redis.Redis):
    assert admit(admission_of(settings, client), GOOD, idempotency_key="k").idempotency.key == "k"
    first, second = (tokens.create(client, Token(n, "", "*", ("record",), 0)) for n in "ab")
    admission = admission_of(settings, client)
    keys = {
        admit(
            admission, GOOD, idempotency_key="k", authorization=f"Bearer {secret}"
        ).idempotency.key
        for secret in (first, second)
    }
    assert keys == {"a/k", "b/k"}


def test_hashes_a_key_that_a_redis_key_cannot_contain(settings: Settings, client: redis.Redis):
    admission = admission_of(settings, client)
    stored = [
        admit(admission, GOOD, idempotency_key=key).idempotency.key
        for key in ("a b", "{0}", "\xe9", "€", "x" * 129, "x" * 255)
    ]
    assert all(key.startswith("sha256-") for key in stored)
    assert len(set(stored)) == 6
    for key in ("", "x" * 256):
        assert rejection(admission, GOOD, idempotency_key=key).code == "invalid_idempotency_key"


def test_reports_when_to_retry_over_the_rate(change: Change, client: redis.Redis):
    admission = admission_of(change(rate_per_device=2.0), client)
    assert admit(admission, b'[{"a":1},{"a":2}]')
    rejected = rejection(admission, b'[{"a":1},{"a":2}]')
    assert (rejected.status, rejected.headers) == (429, {"Retry-After": "1"})
    assert admit(admission, GOOD)  # another device
    assert admit(admission, b'[{"a":1},{"a":2}]', now_ms=NOW_MS + 1001)


@pytest.mark.parametrize(("bound", "held"), [("_SEEN_MAX", 3), ("_SEEN_NAMES_MAX", 7)])
def test_caches_single_readings_of_known_series(
    settings: Settings, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, bound: str, held: int
):
    monkeypatch.setattr(f"ingest.limits.{bound}", held)
    admission = admission_of(settings, client)
    bodies = [b'{"device":"d%d","a":1,"b":2}' % n for n in range(10)]
    assert [admit(admission, body).new_series.series for body in bodies] == [2] * 10
    for body in bodies:
        assert not admit(admission, body).batch.is_known
        assert admit(admission, body).batch.is_known
        assert len(admission.rules.seen) <= 3


def test_forgets_series_that_were_not_stored(settings: Settings, client: redis.Redis):
    admission = admission_of(settings, client)
    new = admit(admission, GOOD).new_series
    assert (new.series, new.devices) == (1, 1)
    assert [admit(admission, GOOD).batch.is_known for _ in range(2)] == [False, True]
    admission.forget(new)
    assert admit(admission, GOOD).new_series == new


def test_remembers_and_forgets_the_series_of_lines(settings: Settings, client: redis.Redis):
    admission = admission_of(settings, client)

    def lines(devices: int) -> Admitted:
        body = b"\n".join(b"m,device=d%d v=1" % (n % devices) for n in range(60))
        return admit(admission, body, door=V2Door())

    new = lines(3).new_series
    assert (new.series, new.devices) == (3, 3)
    assert [lines(3).batch.is_known for _ in range(2)] == [False, True]
    more = lines(5)  # some of them are known
    assert (more.batch.is_known, more.new_series.series) == (False, 2)
    assert [lines(5).batch.is_known for _ in range(2)] == [False, True]
    admission.forget(new)
    assert (lines(5).new_series.series, lines(2).batch.is_known) == (3, False)
