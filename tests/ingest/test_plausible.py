"""Implausible values are stored by default, and rejected with `implausible=refuse`."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from ingest.doors import record
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.settings import Settings

NOW_MS = int(time.time() * 1000)
STORING, REJECTING = Rules(Settings()), Rules(Settings(implausible="refuse"))
HOT: list[Any] = [
    {"engine_temperature": 1000},
    [{"engine_temperature": 90}, {"engine_temperature": 1000}],
    [{"engine_temperature": 90}, {"engine_temperature": 1000, "note": 1}],
    {"recorded_at": [1_700_000_000, 1_700_000_001], "engine_temperature": [90, 1000]},
]


def accepted(body: Any, rules: Rules, rejected: list[Refused] | None = None) -> int:
    content_type = "application/json"
    return record.decode(json.dumps(body).encode(), content_type, NOW_MS, rules, rejected).readings


@pytest.mark.parametrize("body", HOT)
def test_rejects_implausible_values_only_if_configured(body: Any):
    assert accepted(body, STORING) >= 1
    with pytest.raises(Refused, match=r"1000\.0, which is not plausible") as caught:
        accepted(body, REJECTING)
    assert (caught.value.status, caught.value.code) == (422, "implausible")
    assert caught.value.field == "engine_temperature"
    assert caught.value.index == (1 if len(body) > 1 else None)


def test_a_batch_is_stored_without_them():
    rejected: list[Refused] = []
    assert accepted(HOT[1], REJECTING, rejected) == 1
    assert [(refusal.index, refusal.code) for refusal in rejected] == [(1, "implausible")]


def test_a_metric_without_a_range_accepts_any_value():
    assert accepted({"seq": 1e300}, REJECTING) == 1
