"""The choices of an export: what is accepted, what each error names, and what is narrowed."""

from __future__ import annotations

from typing import Any

import pytest

from tributary.model import export
from tributary.model.export import InvalidExport, Spec


@pytest.mark.parametrize(
    ("given", "spec"),
    [
        ({}, Spec()),
        ({"what": None, "slot": None}, Spec()),
        ({"devices": "car-*,van-1", "metrics": ["a", "b", "a"]},
         Spec(devices=("car-*", "van-1"), metrics=("a", "b"))),
        ({"from": "2026-11-22T10:00:00Z", "to": 1_795_341_601},
         Spec(from_ms=1_795_341_600_000, to_ms=1_795_341_601_000)),
        ({"what": "slots"}, Spec("slots", slot_ms=3_600_000)),
        ({"what": "slots", "slot": "5m", "format": "parquet"},
         Spec("slots", "parquet", slot_ms=300_000)),
    ],
)  # fmt: skip
def test_accepted(given: dict[str, Any], spec: Spec):
    assert export.parse(given) == spec


@pytest.mark.parametrize(
    ("given", "field", "part"),
    [
        ({"device": "a"}, "device", "did you mean devices?"),
        ({"what": "all"}, "what", "readings, slots"),
        ({"format": ["csv"]}, "format", "csv, ndjson, parquet"),
        ({"devices": []}, "devices", "1 to 100"),
        ({"devices": ["a"] * 101}, "devices", "1 to 100"),
        ({"devices": "a b"}, "devices", "A-Z"),
        ({"devices": {"a": 1}}, "devices", "1 to 100"),
        ({"metrics": "1a"}, "metrics", "a letter or _"),
        ({"metrics": 5}, "metrics", "1 to 64"),
        ({"from": "yesterday"}, "from", "RFC 3339"),
        ({"from": True}, "from", "RFC 3339"),
        ({"to": 10**30}, "to", "RFC 3339"),
        ({"from": 2_000_000_000, "to": 2_000_000_000}, "to", "later than from"),
        ({"slot": "1h"}, "slot", "what=slots"),
        ({"what": "slots", "slot": "30s"}, "slot", "whole number of minutes"),
        ({"what": "slots", "slot": "367d"}, "slot", "whole number of minutes"),
        ({"what": "slots", "slot": 60}, "slot", "whole number of minutes"),
    ],
)
def test_rejected_with_the_field_and_a_remedy(given: dict[str, Any], field: str, part: str):
    with pytest.raises(InvalidExport) as caught:
        export.parse(given)
    assert caught.value.field == field
    assert part in str(caught.value)


def test_a_token_narrows_an_export_to_its_devices():
    spec = Spec(devices=("car-*", "van-*"), metrics=("speed",))
    narrowed = spec.narrowed("*-7")
    assert narrowed is not None
    names = ("car-7", "van-7", "car-8", "bus-7")
    assert [name for name in names if narrowed.covers(name, "speed")] == ["car-7", "van-7"]
    assert not narrowed.covers("car-7", "rpm")
    assert spec.narrowed("bus-*") is None
    assert narrowed.overlaps(["car-7"])
    assert not narrowed.overlaps(["bus-*", "car-8"])
