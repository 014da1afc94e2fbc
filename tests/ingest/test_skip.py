"""`?on_error=skip`: the valid readings of a batch are stored, the others reported."""

from __future__ import annotations

import json
from collections.abc import Callable

from support.webs import Web

Accepted = Callable[[], int]
SKIP = "?on_error=skip"


def test_reports_rejected_readings_with_index_and_field(web: Web, accepted: Accepted):
    before = accepted()
    readings = [{"a": 1}, {"a": None}, {"device": "{", "a": 2}, 7, {"recorded_at": "now", "a": 3}]
    reply = web.record(readings, query=SKIP)
    assert reply.status == 200
    assert reply.json["accepted"] == 1
    reported = [(bad["index"], bad["field"], bad["code"]) for bad in reply.json["rejected"]]
    assert reported == [
        (1, "a", "not_a_number"),
        (2, "device", "invalid_device"),
        (3, None, "wrong_shape"),
        (4, "recorded_at", "invalid_time"),
    ]
    assert all(bad["message"] for bad in reply.json["rejected"])
    assert accepted() == before + 1


def test_skips_all_and_lists_the_first_hundred(web: Web, accepted: Accepted):
    before = accepted()
    reply = web.record([{"a": 1 if n % 3 == 0 else None} for n in range(450)], query=SKIP)
    assert reply.json["accepted"] == 150
    assert [bad["index"] for bad in reply.json["rejected"]] == [n for n in range(450) if n % 3][
        :100
    ]
    assert accepted() == before + 150


def test_skips_invalid_lines(web: Web):
    lines = b'{"a":1}\n{"a":\n\n{"a":2}\n{"a":"x"}\n'
    reply = web.record(lines, query=SKIP, Content_Type="application/x-ndjson")
    assert reply.json["accepted"] == 2
    assert [bad["code"] for bad in reply.json["rejected"]] == ["not_json", "not_a_number"]


def test_stores_nothing_if_every_reading_is_invalid(web: Web, accepted: Accepted):
    before = accepted()
    reply = web.record([{"a": None}, {"a": []}], query=SKIP)
    assert (reply.status, reply.json["accepted"], len(reply.json["rejected"])) == (200, 0, 2)
    assert accepted() == before


def test_rejects_a_body_that_is_not_json(web: Web):
    assert web.record(b"[", query=SKIP).code == "not_json"


def test_without_it_one_invalid_reading_rejects_the_request(web: Web, accepted: Accepted):
    before = accepted()
    for query in ("", "?on_error=refuse"):
        reply = web.record([{"a": 1}, {"a": None}], query=query)
        assert (reply.status, reply.json["error"]["index"]) == (422, 1)
    assert accepted() == before


def test_rejects_another_value_of_on_error(web: Web):
    reply = web.record({"a": 1}, query="?on_error=ignore")
    assert (reply.status, reply.code) == (400, "invalid_on_error")
    assert json.dumps("ignore").strip('"') in reply.json["error"]["message"]
