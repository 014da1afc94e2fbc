"""The fast parser has the same results as the strict one."""

from __future__ import annotations

import itertools
import json
import os
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.batch import Batch
from ingest.doors.record import fast, strict
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.model import reading
from tributary.settings import Settings

# More with scripts/fuzz.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "300"))
NOW_MS = int(time.time() * 1000)
LIMITS = Rules(Settings())
ANY_AGE = Rules(Settings(oldest_time="1970-01-01T00:00:00Z"))
REJECTING = Rules(Settings(implausible="refuse"))

devices = st.sampled_from(
    ["car-1", "car-2", "building/room", "a:b", "", "x y", "default", 17, None]
)
metrics = st.one_of(
    st.sampled_from(["engine_temperature", "speed", "class", "a.b", "f0", "1x", "_x", "a"]),
    st.sampled_from(
        [*sorted(reading.RESERVED), "Timestamp", "DeviceID", "devcie", "Time", "_time"]
    ),
)
numbers = st.one_of(
    st.floats(allow_nan=False),
    st.integers(-(10**20), 10**20),
    st.sampled_from([True, None, "1", "ok", "1e999", [1], {}, {"a": 1}, 1e999, float("nan")]),
)
times = st.one_of(
    st.integers(0, 2 * NOW_MS),
    st.integers(0, NOW_MS * 1_000_000 + 10**15),
    st.floats(0, 1e19, allow_nan=False),
    st.floats(0, NOW_MS / 1000, allow_nan=False),
    st.integers(NOW_MS // 1000 - 10**6, NOW_MS // 1000),
    st.sampled_from(
        [946_684_800_000, 946_684_799_999, 946_684_800, 946_684_799, "1999-12-31T23:59:59.999Z"]
    ),
    st.integers(0, NOW_MS).map(str),
    st.sampled_from(
        ["2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05+02:00", "nonsense", None, -1]
    ),
)
readings = st.fixed_dictionaries({}, optional={"device": devices, "recorded_at": times}).flatmap(
    lambda head: st.dictionaries(metrics, numbers, max_size=3).map(lambda m: {**head, **m})
)


@st.composite
def columns(draw: st.DrawFn) -> dict[str, Any]:
    size = draw(st.integers(0, 5))
    lists = st.lists(numbers, min_size=size, max_size=size)
    item: dict[str, Any] = draw(st.dictionaries(metrics, lists, min_size=1, max_size=3))
    if draw(st.booleans()):
        item["recorded_at"] = draw(st.lists(times, min_size=size, max_size=size))
    if draw(st.booleans()):
        item["device"] = draw(devices)
    return item


bodies = st.one_of(
    readings,
    st.lists(readings, max_size=4),
    st.tuples(readings, st.integers(1, 30)).map(lambda pair: [pair[0]] * pair[1]),
    columns(),
)


def flat(accepted: Batch) -> list[tuple[int, str, int, str, float]]:
    """(partition, device, time, metric, value) of every value, in order of device."""
    rows = []
    for partition, blocks in accepted.blocks.items():
        for block in blocks:
            device, recorded_at, metrics = block.device, block.recorded_at_ms, block.metrics
            if isinstance(recorded_at, int):
                rows += [(partition, device, recorded_at, k, v) for k, v in metrics.items()]
                continue
            stamps = np.frombuffer(recorded_at, np.int64).tolist()
            names = [device] * len(stamps) if isinstance(device, str) else device
            for metric, packed in metrics.items():
                values = np.frombuffer(packed, np.float64).tolist()
                rows += [
                    (partition, n, t, metric, v)
                    for n, t, v in zip(names, stamps, values, strict=True)
                ]
    return sorted(rows, key=lambda row: (row[0], row[1], row[3]))


def outcome(parse: Any, body: bytes, limits: Rules = LIMITS) -> Any:
    try:
        accepted = parse(body, NOW_MS, limits)
    except Refused as refused:
        return refused.status, refused.code, refused.field, refused.index
    if not accepted.is_batch:
        limits.remember(accepted)  # like a process: the next similar reading is found in the cache
    return accepted.readings, accepted.is_batch, flat(accepted), (*accepted.ignored,)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    bodies, st.sampled_from([None, 1]), st.sampled_from([(",", ":"), (", ", ": "), (" ,", " : ")])
)
@example({"speed": 9007199254740993}, None, (",", ":"))
@example([{"a.b": 1.0, "recorded_at": 1698501144401773000}] * 3, None, (",", ":"))
@example({"speed": [1], "recorded_at": [1698501144401773111]}, None, (",", ":"))
def test_parsers_agree(value: Any, indent: int | None, separators: tuple[str, str]):
    body = json.dumps(value, indent=indent, separators=separators).encode()
    for limits in (LIMITS, REJECTING, ANY_AGE):
        assert outcome(fast.parse, body, limits) == outcome(strict.parse, body, limits)


BLANKS = ("", " ", "\t", "\n", "\r", " \t\n")
NAMES = ('"v"', '"\\u0076"')
MORE = (
    "",
    ',"recorded_at":"2026-01-02T03:04:05Z"',
    ',"recorded_at":"2026-01-02T03\\u003a04:05Z"',
    ',"device":"a:b"',
)


@pytest.mark.parametrize("template", ["{%s}", "[{%s}]", '[{"v":3},{%s}]'])
@pytest.mark.parametrize("value", ["2", "[2]"])
def test_a_repeated_name_is_rejected(template: str, value: str):
    for blank, again, more in itertools.product(BLANKS, NAMES, MORE):
        body = (template % f'"v":{value},{again}{blank}:{value}{more}').encode()
        found = outcome(fast.parse, body)
        assert found == outcome(strict.parse, body), body
        assert found[1] == "duplicate_name", body


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("1763805600.999999999", 1_763_805_600_999),  # as a double, the next second
        ("1763805600.0009999999", 1_763_805_600_000),
        ("1763805600.9999999", 1_763_805_600_999),
        ("1763805600.001", 1_763_805_600_001),
        ("1763805600.0010000000", 1_763_805_600_001),
        ("1763805600.2512345", 1_763_805_600_251),
        ("17638056009999999999e-10", 1_763_805_600_999),
        ("1.763805600999999999e9", 1_763_805_600_999),
        ("0.000999999999999999999999999", 0),
        ("1763805600." + "9" * 60, 1_763_805_600_999),
    ],
)
def test_reads_seconds_as_written_not_as_a_double(written: str, ms: int):
    for form in (
        '{"v":1,"recorded_at":%s}',
        '[{"v":1,"recorded_at":%s}]',
        '[{"v":1,"recorded_at":%s},{"v":1,"recorded_at":1}]',
        '[{"v":1,"recorded_at":%s},{"v":1,"recorded_at":"2026-01-02T03:04:05Z"}]',
        '{"v":[1,2],"recorded_at":[%s,1]}',
        '{"v":[1,2],"recorded_at":[%s,"2026-01-02T03:04:05Z"]}',
    ):
        body = (form % written).encode()
        assert outcome(fast.parse, body) == outcome(strict.parse, body)
        found = outcome(fast.parse, body, ANY_AGE)
        assert found == outcome(strict.parse, body, ANY_AGE)
        assert ms in [row[2] for row in found[2]]


TEXTS = [
    "2026-01-02T03:04:05Z",
    "2026-01-02t03:04:05.6z",
    "2026-01-02T03:04:05.678Z",
    "2026-01-02T03:04:05.678999999+05:30",
    "1970-01-01T00:00:00Z",
    "1969-12-31T23:59:59.999Z",
    "1970-01-01T00:00:00+00:01",
    "0001-01-01T00:00:00+23:59",
    "2026-01-02T03:04:05.678",
    "2026-02-30T03:04:05Z",
    "9999-12-31T23:59:59Z",
    "2026-01-02T03\\u003a04:05Z",
    "",
]


@pytest.mark.parametrize(
    "form",
    [
        '[{"device":"a:b","v":1,"recorded_at":%s},{"device":"c","v":1,"recorded_at":%s}]',
        '[{"v":1,"recorded_at":%s},{"v":1,"recorded_at":%s}]',
        '[{"v":1,"recorded_at":%s},{"v":1,"v":2,"recorded_at":%s}]',
        '{"v":[1,2],"recorded_at":[%s,%s]}',
    ],
)
def test_reads_arrays_of_text_times(form: str):
    written = [f'"{text}"' for text in TEXTS]
    for limits in (LIMITS, ANY_AGE):
        for pair in itertools.product(written, [*written, "1763805600"]):
            body = (form % pair).encode()
            assert outcome(fast.parse, body, limits) == outcome(strict.parse, body, limits), body


def test_truncates_fractions_of_a_millisecond_in_columns():
    times = [1_763_805_600.001, 1_763_805_600.2519, 1_763_805_600.9999, 1, 0.0009]
    body = json.dumps({"v": [1] * 5, "recorded_at": times}).encode()
    found = outcome(fast.parse, body, ANY_AGE)
    assert found == outcome(strict.parse, body, ANY_AGE)
    assert sorted(row[2] for row in found[2]) == [
        0, 1000, 1_763_805_600_001, 1_763_805_600_251, 1_763_805_600_999
    ]  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None)
@given(bodies, st.data())
def test_parsers_agree_on_damaged_json(value: Any, data: st.DataObject):
    body = bytearray(json.dumps(value).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from(
                [b"", b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"0", b"\xff", b"-"]
            )
        )
    assert outcome(fast.parse, bytes(body)) == outcome(strict.parse, bytes(body))
