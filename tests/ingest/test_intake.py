"""What a request must pass before its readings are appended, and in which order."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import msgspec
import pytest
import redis

from ingest.admission import Intake, Taken
from ingest.doors import record
from tributary.auth import tokens
from tributary.auth.guard import Guard, RequestHeaders
from tributary.auth.tokens import Token
from tributary.errors import Refused
from tributary.settings import Settings

NOW_MS = 1_800_000_000_000
GOOD = b'{"device":"car-7","a":1}'
Change = Callable[..., Settings]


def made(settings: Settings, client: redis.Redis) -> Intake:
    return Intake(settings, Guard(settings, client))


def refusal(
    intake: Intake, sent: bytes, headers: RequestHeaders, query: bytes = b"", now_ms: int = NOW_MS
) -> Refused:
    with pytest.raises(Refused) as caught:
        intake.take(sent, headers, query, now_ms)
    return caught.value


def take(
    intake: Intake, sent: bytes, query: bytes = b"", now_ms: int = NOW_MS, **fields: str
) -> Taken:
    return intake.take(sent, RequestHeaders(**fields), query, now_ms)


def test_a_good_request_brings_its_readings_and_its_answer(settings: Settings, client: redis.Redis):
    taken = take(made(settings, client), GOOD)
    assert list(record.devices(taken.accepted)) == ["car-7"]
    assert taken.answer == b'{"success":true}'
    assert taken.once is None


def test_who_asks_is_judged_before_what_is_asked(settings: Settings, client: redis.Redis):
    secret = tokens.create(client, Token("a", "", "car-*", ("record",), 0))
    intake = made(settings, client)
    assert refusal(intake, b"not json", RequestHeaders()).status == 401
    known = RequestHeaders(f"Bearer {secret}")
    assert refusal(intake, b"not json", known).status == 400
    assert refusal(intake, b'{"device":"van-1","a":1}', known).status == 403
    assert intake.take(GOOD, known, b"", NOW_MS).answer == b'{"success":true}'


def test_a_packed_body_is_held_to_the_limit_of_a_plain_one(change: Change, client: redis.Redis):
    intake = made(change(body_max_bytes=1024), client)
    packed = gzip.compress(GOOD.ljust(1024))
    assert take(intake, packed, content_encoding="gzip").accepted.readings == 1
    beyond = gzip.compress(GOOD.ljust(1025))
    assert refusal(intake, beyond, RequestHeaders(content_encoding="gzip")).status == 413


@pytest.mark.parametrize("query", [b"on_error=skip", b"x=1&on_error=skip", b"on%5Ferror=%73kip"])
def test_bad_readings_are_skipped_when_asked_so(
    settings: Settings, client: redis.Redis, query: bytes
):
    taken = take(made(settings, client), b'[{"a":1},{"a":null}]', query)
    told = msgspec.json.decode(taken.answer)
    assert (told["accepted"], told["rejected"][0]["index"]) == (1, 1)


def test_another_wish_for_errors_is_refused(settings: Settings, client: redis.Redis):
    intake = made(settings, client)
    for query in (b"on_error=", b"on_error=no", b"on_error=skip&on_error=no"):
        assert refusal(intake, GOOD, RequestHeaders(), query).code == "invalid_on_error"


def test_a_key_belongs_to_the_token_that_sent_it(settings: Settings, client: redis.Redis):
    assert take(made(settings, client), GOOD, idempotency_key="k").once.key == "k"
    first, second = (tokens.create(client, Token(n, "", "*", ("record",), 0)) for n in "ab")
    intake = made(settings, client)
    keys = {
        take(intake, GOOD, idempotency_key="k", authorization=f"Bearer {secret}").once.key
        for secret in (first, second)
    }
    assert keys == {"a/k", "b/k"}


def test_an_odd_key_becomes_one_that_redis_keys_can_hold(settings: Settings, client: redis.Redis):
    intake = made(settings, client)
    held = [
        take(intake, GOOD, idempotency_key=key).once.key
        for key in ("a b", "{0}", "\xe9", "x" * 129, "x" * 255)
    ]
    assert all(key.startswith("sha256-") for key in held)
    assert len(set(held)) == 5
    for key in ("", "x" * 256):
        assert (
            refusal(intake, GOOD, RequestHeaders(idempotency_key=key)).code
            == "invalid_idempotency_key"
        )


def test_over_the_rate_it_says_when_to_come_back(change: Change, client: redis.Redis):
    intake = made(change(rate_per_device=2.0), client)
    assert take(intake, b'[{"a":1},{"a":2}]')
    refused = refusal(intake, b'[{"a":1},{"a":2}]', RequestHeaders())
    assert (refused.status, refused.headers) == (429, {"Retry-After": "1"})
    assert take(intake, GOOD)  # another device
    assert take(intake, b'[{"a":1},{"a":2}]', now_ms=NOW_MS + 1001)


@pytest.mark.parametrize(("bound", "held"), [("_SEEN_MAX", 3), ("_SEEN_NAMES_MAX", 7)])
def test_a_single_reading_is_found_at_once_when_its_series_are_known(
    settings: Settings, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, bound: str, held: int
):
    monkeypatch.setattr(f"ingest.limits.{bound}", held)
    intake = made(settings, client)
    bodies = [b'{"device":"d%d","a":1,"b":2}' % n for n in range(10)]
    assert [take(intake, body).joined.series for body in bodies] == [2] * 10
    for body in bodies:
        assert not take(intake, body).accepted.is_known
        assert take(intake, body).accepted.is_known
        assert len(intake._rules.seen) <= 3


def test_what_was_forgotten_is_not_found(settings: Settings, client: redis.Redis):
    intake = made(settings, client)
    joined = take(intake, GOOD).joined
    assert (joined.series, joined.devices) == (1, 1)
    assert [take(intake, GOOD).accepted.is_known for _ in range(2)] == [False, True]
    intake.forget(joined)
    assert take(intake, GOOD).joined == joined
