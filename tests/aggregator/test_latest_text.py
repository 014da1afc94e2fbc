"""The stored document of a device is the JSON of its values, whatever was updated when."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aggregator import latest
from aggregator.latest import Document
from aggregator.sums import exact_sums
from tributary.model.aggregate import Layout, mean
from tributary.model.reading import rfc3339

LAYOUT = Layout((), 10)
DEVICES = ("car-7", "a/b:c.d_e")
METRICS = ("m", "engine_temperature", "a.b")

doubles = st.floats(allow_nan=False, allow_infinity=False)
near = st.sampled_from([0.0, -0.0, 0.1, 90.0, 92.3, 1e308, -1e308, 5e-324, 1e16, 1.0])
# Without -0.0, which is equal to 0.0 and may become it.
rows = st.lists(
    st.one_of(doubles, near, st.floats(-1e3, 1e3)).map(lambda value: value + 0.0),
    min_size=1,
    max_size=10,
)
times_ms = st.one_of(st.integers(0, 253_402_300_799_999), st.integers(0, 3_000))
updates = st.dictionaries(
    st.tuples(st.sampled_from(DEVICES), st.sampled_from(METRICS)),
    st.tuples(rows, times_ms),
    min_size=1,
)


@given(st.lists(st.tuples(updates, st.booleans()), min_size=1, max_size=4))
def test_the_text_is_the_json_of_the_values(turns: list[tuple[dict[Any, Any], bool]]):
    documents = {device: Document.parse(device, None) for device in DEVICES}
    bodies: dict[str, dict[str, Any]] = {}
    newest_ms = dict.fromkeys(DEVICES, -1)
    for turn, is_reloaded in turns:
        part = np.zeros(len(turn), LAYOUT.state)
        for row, ((device, metric), (values, time_ms)) in enumerate(turn.items()):
            part[row]["count"] = len(values)
            part[row]["min"], part[row]["max"] = min(values), max(values)
            part[row]["values"][-len(values) :] = values
            part[row]["times_ms"][-1] = time_ms
            newest_ms[device] = max(newest_ms[device], time_ms)
            body = bodies.setdefault(device, {"device": device, "recorded_at": ""})
            body["recorded_at"] = rfc3339(newest_ms[device])
            body[f"current_{metric}"] = float(values[-1])
            body[f"average_{metric}"] = mean(values)
        places = [documents[device].place(metric) for device, metric in turn]
        texts = {document.device: text for document, text in latest.update(places, part)}
        assert texts == {device: msgspec.json.encode(bodies[device]) for device, _ in turn}
        if is_reloaded:
            documents |= {device: Document.parse(device, text) for device, text in texts.items()}


@given(st.lists(st.lists(doubles | near, min_size=6, max_size=6), min_size=1, max_size=20))
def test_sums_are_rounded_once(numbers: list[list[float]]):
    try:
        expected = list(map(math.fsum, numbers))
    except OverflowError:
        return
    found = exact_sums(np.array(numbers)).tolist()
    assert found == expected
    assert list(map(math.copysign, [1] * len(found), found)) == [
        math.copysign(1, each) for each in expected
    ]
