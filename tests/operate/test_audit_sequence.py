"""The audit finds entries of the stream that are not as they were written, and wrong counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from support import folding

from tributary.model.frame import Block, pack
from tributary.operate.audit import Auditor
from tributary.operate.audit.aggregates import Finding
from tributary.operate.audit.sequence import Sequence, contradictions
from tributary.settings import Settings
from tributary.store import keys

READINGS = keys.readings(0)


@pytest.fixture
def settings(change: Callable[..., Settings], client: redis.Redis) -> Settings:
    settings = change(partitions=1)
    for number in range(4):
        folding.append_frame(client, 0, pack([Block("car-7", 1_000 + number, {"m": 1.0})]), 1)
    folding.aggregate(settings, client)
    return settings


def replaced(client: redis.Redis, number: int, *changed: tuple[bytes, bytes]) -> bytes:
    """The stream again, with other fields in one entry; its id."""
    stream: Any = client.xrange(READINGS)
    client.delete(READINGS)
    for id_, fields in stream[: number - 1]:
        client.xadd(READINGS, fields, id=id_)
    id_, fields = stream[number - 1]
    client.xadd(READINGS, fields | dict(changed), id=id_)
    for other, rest in stream[number:]:
        client.xadd(READINGS, rest, id=other)
    return bytes(id_)


def found(client: redis.Redis, settings: Settings) -> set[tuple[str, str, str]]:
    differences = Auditor(client, settings).audit(0).differences
    return {(each.store, each.slot, str(each.expected)) for each in differences}


def test_a_stream_as_it_was_written_has_no_differences(client: redis.Redis, settings: Settings):
    assert found(client, settings) == set()
    client.xtrim(READINGS, maxlen=2, approximate=False)
    assert found(client, settings) == set()


def test_a_damaged_frame_that_was_applied(client: redis.Redis, settings: Settings):
    packed = bytearray(pack([Block("car-7", 1_001, {"m": 1.0})]))
    packed[-20] ^= 1
    id_ = replaced(client, 2, (b"r", bytes(packed)))
    assert ("readings", id_.decode(), "a frame") in found(client, settings)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [(b"e", b"1", "number 2"), (b"e", b"x", "two numbers"), (b"n", b"7", "reading 2")],
)
def test_damaged_numbers(
    client: redis.Redis, settings: Settings, field: bytes, value: bytes, expected: str
):
    id_ = replaced(client, 2, (field, value)).decode()
    findings = found(client, settings)
    if value == b"x":  # as an entry that append has not written, so one is missing
        assert ("readings", "", "at most 0 missing entries") in findings
    else:
        assert ("readings", id_, expected) in findings


def test_an_entry_that_is_missing_between_others(client: redis.Redis, settings: Settings):
    stream: Any = client.xrange(READINGS)
    client.xdel(READINGS, stream[1][0])
    expected = ("readings", "", "at most 0 missing entries")
    assert expected in found(client, settings)
    client.hset(keys.holes(0), "entries", 1)  # deleted, because it named a forgotten device
    assert expected not in found(client, settings)


def test_a_document_of_no_device(client: redis.Redis, settings: Settings):
    client.hset(keys.latest(0), "car-\xff", "{}")
    assert ("latest", "", "None") in found(client, settings)


def test_a_document_that_is_not_utf_8(client: redis.Redis, settings: Settings):
    client.hset(keys.latest(0), "car-7", b'{"device":"\xdfar-7"}')
    assert ("latest", "", "a JSON object") in found(client, settings)


@pytest.mark.parametrize("field", ["applied", "done", "lost", "late", "entries", "accepted"])
def test_counts_that_do_not_add_up(client: redis.Redis, settings: Settings, field: str):
    client.hincrby(keys.meta(0), field, -1 if field in {"entries", "accepted"} else 64)
    assert "meta" in {store for store, _, _ in found(client, settings)}


def test_what_is_trimmed_during_the_audit_is_not_missing():
    findings: list[Finding] = []
    sequence = Sequence(findings.append)
    for number in (1, 2, 7, 9):
        sequence.add(b"%d-0" % number, {b"e": b"%d" % number, b"n": b"%d" % number}, 1)
    meta = {b"lost_entries": b"1", b"entries": b"9", b"accepted": b"9"}
    sequence.end(meta, b"7-0", 0)
    assert findings == []
    sequence.end(meta, b"6-0", 0)
    assert [each.found for each in findings] == ["5 missing"]


def test_a_tombstone_adds_no_reading_and_a_dead_frame_any():
    findings: list[Finding] = []
    sequence = Sequence(findings.append)
    for number, reading, readings in ((1, 3, 3), (2, 3, 0), (3, 9, None), (4, 10, 1)):
        fields = {b"e": b"%d" % number, b"n": b"%d" % reading}
        sequence.add(b"%d-0" % number, fields, readings)
    assert findings == []


def test_every_count_is_a_part_of_what_is_done():
    meta = {b"applied": b"5", b"late": b"1", b"dead": b"3", b"foreign": b"1", b"lost": b"2"}
    meta |= {b"begun": b"4", b"done": b"14", b"accepted": b"14", b"epoch": b"7:1"}
    assert list(contradictions(meta)) == []
    assert [each.slot for each in contradictions(meta | {b"late": b"0"})] == ["done"]
