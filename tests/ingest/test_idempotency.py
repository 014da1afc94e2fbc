"""`Idempotency-Key`: a retried request counts once, whichever process handles it."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import redis
from support.processes import Reply
from support.waiting import wait_until
from support.webs import Web

from tributary.store import keys

Accepted = Callable[[], int]
_NUMBERS = itertools.count()


def new_key() -> str:
    return f"key-{next(_NUMBERS)}"


def test_concurrent_retries_count_once(web: Web, accepted: Accepted):
    before, key = accepted(), new_key()
    with ThreadPoolExecutor(16) as pool:
        futures = [pool.submit(web.record, {"a": 1}, Idempotency_Key=key) for _ in range(32)]
        replies = [future.result() for future in futures]
    assert {reply.status for reply in replies} == {200}
    assert [reply.json for reply in replies].count({"success": True}) == 1
    assert [reply.json for reply in replies].count({"success": True, "duplicate": True}) == 31
    assert accepted() == before + 1


def test_a_retry_for_several_partitions_counts_once(web: Web, accepted: Accepted):
    before, key = accepted(), new_key()
    readings = [{"device": f"car-{n}", "a": n} for n in range(40)]
    assert web.record(readings, Idempotency_Key=key).json == {"success": True, "accepted": 40}
    again = web.record(readings, Idempotency_Key=key)
    assert again.json == {"success": True, "duplicate": True, "accepted": 40}
    assert accepted() == before + 40


def test_a_retry_completes_a_partly_stored_request(
    web: Web, accepted: Accepted, web_client: redis.Redis
):
    before, key = accepted(), new_key()
    readings = [{"device": f"car-{n}", "a": n} for n in range(40)]
    missing = keys.partition_of("car-7", web.settings.partitions)
    in_it = sum(
        keys.partition_of(f"car-{n}", web.settings.partitions) == missing for n in range(40)
    )
    web.record(readings, Idempotency_Key=key)
    web_client.delete(keys.once(missing, key))  # as if this partition had not stored its part
    assert web.record(readings, Idempotency_Key=key).json == {"success": True, "accepted": 40}
    assert accepted() == before + 40 + in_it
    assert web.record(readings, Idempotency_Key=key).json["duplicate"] is True


def devices_of_two_partitions(web: Web) -> tuple[str, str]:
    """Two devices of different partitions."""
    names = [f"car-{n}" for n in range(40)]
    of = {keys.partition_of(name, web.settings.partitions): name for name in names}
    first, second = list(of.values())[:2]
    return first, second


def assert_reused(reply: Reply) -> None:
    assert (reply.status, reply.code) == (422, "key_reused")


def test_a_key_is_for_one_body_in_every_partition(web: Web, accepted: Accepted):
    first, second = devices_of_two_partitions(web)
    for other in (
        {"device": second, "a": 1},
        {"device": first, "a": 2},
        [{"device": first, "a": 1}, {"device": second, "a": 1}],
        [{"device": first, "a": 1}],
    ):
        before, key = accepted(), new_key()
        assert web.record({"device": first, "a": 1}, Idempotency_Key=key).status == 200
        assert_reused(web.record(other, Idempotency_Key=key))
        assert web.record({"device": first, "a": 1}, Idempotency_Key=key).json["duplicate"] is True
        assert accepted() == before + 1


def test_a_batch_does_not_share_its_key_with_a_part_of_it(web: Web, accepted: Accepted):
    first, second = devices_of_two_partitions(web)
    before, key = accepted(), new_key()
    batch = [{"device": first, "a": 1}, {"device": second, "a": 1}]
    assert web.record(batch, Idempotency_Key=key).json == {"success": True, "accepted": 2}
    assert_reused(web.record(batch[0], Idempotency_Key=key))
    assert_reused(web.record([batch[1], batch[0]], Idempotency_Key=key))
    assert accepted() == before + 2


def test_one_of_two_concurrent_bodies_gets_the_key(lane: Web, flask: Web, accepted: Accepted):
    first, second = devices_of_two_partitions(lane)
    for _ in range(10):
        before, key = accepted(), new_key()
        bodies = [
            {"device": first, "a": 1},
            [{"device": first, "a": 1}, {"device": second, "a": 2}],
        ]
        with ThreadPoolExecutor(8) as pool:
            futures = [
                pool.submit(web.record, body, Idempotency_Key=key)
                for web in (lane, flask)
                for body in bodies
                for _ in range(2)
            ]
            replies = [future.result() for future in futures]
        assert sorted(reply.status for reply in replies) == [200] * 4 + [422] * 4
        stored = {
            1 if "accepted" not in reply.json else 2 for reply in replies if reply.status == 200
        }
        assert len(stored) == 1
        assert accepted() == before + stored.pop()


def test_the_stored_response_outlives_the_claim(
    web: Web, accepted: Accepted, web_client: redis.Redis
):
    before, key, partitions = accepted(), new_key(), web.settings.partitions
    web.record({"a": 1}, Idempotency_Key=key)
    claim = keys.claim(keys.partition_of(key, partitions), key)
    once = keys.once(keys.partition_of("default", partitions), key)
    assert web_client.pttl(claim) + 30_000 < web_client.pttl(once)
    web_client.delete(claim)  # as if it had expired
    assert web.record({"a": 2}, Idempotency_Key=key).json == {"success": True}
    assert web.record({"a": 2}, Idempotency_Key=key).json["duplicate"] is True
    assert_reused(web.record({"a": 1}, Idempotency_Key=key))
    assert accepted() == before + 2


def test_compression_does_not_change_a_body(web: Web, accepted: Accepted):
    before, key, body = accepted(), new_key(), b'{"a":1}'
    assert web.record(body, Idempotency_Key=key).json == {"success": True}
    compressed = gzip.compress(body)
    again = web.record(compressed, Content_Encoding="gzip", Idempotency_Key=key)
    assert again.json["duplicate"] is True
    assert accepted() == before + 1


def test_a_rejected_request_does_not_use_its_key(web: Web, accepted: Accepted):
    before, key = accepted(), new_key()
    assert web.record({"a": "x"}, Idempotency_Key=key).status == 422
    assert web.record({"a": 1}, Idempotency_Key=key).json == {"success": True}
    assert accepted() == before + 1


def test_a_retry_gets_the_first_response(web: Web):
    key, readings = new_key(), [{"a": 1}, {"a": None}]
    first = web.record(readings, query="?on_error=skip", Idempotency_Key=key).json
    again = web.record(readings, query="?on_error=skip", Idempotency_Key=key).json
    assert first["accepted"] == 1
    assert again == {**first, "duplicate": True}


def test_the_lane_and_flask_share_keys(lane: Web, flask: Web, accepted: Accepted):
    for first, second in ((lane, flask), (flask, lane)):
        before = accepted()
        for key in (new_key(), f"odd key, with \xe9 {new_key()}", "x" * 200 + new_key()):
            assert first.record({"a": 1}, Idempotency_Key=key).json == {"success": True}
            assert second.record({"a": 1}, Idempotency_Key=key).json["duplicate"] is True
        assert accepted() == before + 3


def test_a_key_survives_a_restart(start_web: Callable[..., Web], accepted: Accepted):
    before, key = accepted(), new_key()
    first = start_web()
    assert first.record({"a": 1}, Idempotency_Key=key).json == {"success": True}
    first.close()
    assert start_web().record({"a": 1}, Idempotency_Key=key).json["duplicate"] is True
    assert accepted() == before + 1


def test_what_a_release_with_format_2_has_stored_counts_once(
    web: Web, accepted: Accepted, web_client: redis.Redis
):
    """It remembered the response without the digest of the body."""
    before, key = accepted(), new_key()
    once = keys.once(keys.partition_of("default", web.settings.partitions), key)
    web_client.set(once, '{"success":true}', px=600_000)
    assert web.record({"a": 1}, Idempotency_Key=key).json == {"success": True, "duplicate": True}
    assert accepted() == before


def test_a_key_expires(start_web: Callable[..., Web], accepted: Accepted, web_client: redis.Redis):
    web, before, key = start_web(idempotency_ttl_ms=1000), accepted(), new_key()
    held = keys.once(keys.partition_of("default", web.settings.partitions), key)
    assert web.record({"a": 1}, Idempotency_Key=key).json == {"success": True}
    assert 0 < web_client.pttl(held) <= 1100
    wait_until(lambda: not web_client.exists(held), "the key to expire")
    assert web.record({"a": 1}, Idempotency_Key=key).json == {"success": True}
    assert accepted() == before + 2


def test_rejects_an_empty_or_overlong_key(web: Web):
    for key in ("", "x" * 256):
        reply = web.record({"a": 1}, Idempotency_Key=key)
        assert (reply.status, reply.code) == (400, "invalid_idempotency_key")
