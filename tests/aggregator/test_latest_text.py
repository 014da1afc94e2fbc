"""The stored document of a device is the JSON of its values, whatever was updated when."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aggregator.documents import Documents
from aggregator.sums import exact_sums
from tributary.model.aggregate import Layout, mean
from tributary.model.reading import rfc3339

LAYOUT = Layout((), 10)
DEVICES = ("car-7", "a/b:c.d_e", 'not"plain')
METRICS = ("m", "engine_temperature", "a.b")
SERIES = [(device, metric) for device in DEVICES for metric in METRICS]

doubles = st.floats(allow_nan=False, allow_infinity=False)
near = st.sampled_from([0.0, -0.0, 0.1, 90.0, 92.3, 1e308, -1e308, 5e-324, 1e16, 1.0])
# Without -0.0, which is equal to 0.0 and may become it.
rows = st.lists(
    st.one_of(doubles, near, st.floats(-1e3, 1e3)).map(lambda value: value + 0.0),
    min_size=1,
    max_size=10,
)
later_ms = st.one_of(st.integers(0, 3_000), st.integers(0, 10**13))
updates = st.dictionaries(st.sampled_from(SERIES), st.tuples(rows, later_ms), min_size=1)
evicted = st.lists(st.sampled_from(SERIES))


class Expected:
    """Bodies of JSON, updated value by value."""

    def __init__(self) -> None:
        self.bodies: dict[str, dict[str, Any]] = {}
        self.newest_ms = dict.fromkeys(DEVICES, -1)

    def update(self, device: str, metric: str, values: list[float], time_ms: int) -> None:
        body = self.bodies.setdefault(device, {"device": device, "recorded_at": ""})
        self.newest_ms[device] = max(self.newest_ms[device], time_ms)
        body["recorded_at"] = rfc3339(self.newest_ms[device])
        body[f"current_{metric}"] = float(values[-1])
        body[f"average_{metric}"] = mean(values)


@given(st.lists(st.tuples(updates, evicted), min_size=1, max_size=5))
def test_the_text_is_the_json_of_the_values(turns: list[tuple[dict[Any, Any], list[Any]]]):
    expected, documents = Expected(), Documents(len(SERIES))
    state = np.full(len(SERIES), LAYOUT.no_state)
    loaded: set[tuple[str, str]] = set()
    stored: dict[str, bytes | None] = {}
    for turn, gone in turns:
        unseen = [series for series in turn if series not in loaded]
        devices = {device: stored.get(device) for device, _ in unseen}
        places = list(map(SERIES.index, unseen))
        new = documents.load(devices, unseen, places, state)
        assert set(new) == {device for device, text in devices.items() if text is None}
        loaded |= set(unseen)
        for series in [
            *unseen,
            *(each for each in turn if each not in unseen),
        ]:  # metrics are added in this order
            values, more_ms = turn[series]
            record = state[SERIES.index(series)]
            time_ms = min(max(0, int(record["times_ms"][-1])) + more_ms, 253_402_300_799_999)
            record["count"], record["min"], record["max"] = len(values), min(values), max(values)
            record["values"][:], record["times_ms"][-1] = 0.0, time_ms
            record["values"][-len(values) :] = values
            expected.update(*series, values, time_ms)
        rows = np.array(sorted(map(SERIES.index, turn)))
        (fields,) = documents.update(rows, state[rows], [len(rows)])
        texts = dict(zip([each.decode() for each in fields[::2]], fields[1::2], strict=True))
        assert len(fields) == 2 * len(texts)
        changed = {device for device, _ in turn}
        assert texts == {d: msgspec.json.encode(expected.bodies[d]) for d in changed}
        stored |= texts
        for series in loaded & set(gone):
            documents.release(SERIES.index(series), series[0])
        loaded -= set(gone)


@given(st.lists(st.lists(doubles | near, min_size=6, max_size=6), min_size=1, max_size=20))
def test_sums_are_rounded_once(numbers: list[list[float]]):
    try:
        expected = list(map(math.fsum, numbers))
    except OverflowError:
        return
    found = exact_sums(np.array(numbers * 128)).tolist()  # few are added one by one
    assert found == expected * 128
    assert exact_sums(np.array(numbers)).tolist() == expected
    found = found[: len(numbers)]
    assert list(map(math.copysign, [1] * len(found), found)) == [
        math.copysign(1, each) for each in expected
    ]
