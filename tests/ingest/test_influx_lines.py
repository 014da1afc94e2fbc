"""Line protocol → readings, and the reason of each bad line."""

from __future__ import annotations

import numpy as np
import pytest
from support.influx_lines import NOW_MS, NOW_NS, NS, Row, parse

from ingest.doors.influx import body, cache, times
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.settings import Settings

GOOD = [
    ("engine,device=car-7 temperature=92", ("car-7", {"engine_temperature": 92.0})),
    ("cpu,host=pi,cpu=total usage=1.5", ("pi", {"cpu_usage": 1.5})),
    ("cpu,host=pi,device=sda usage=1.5", ("sda", {"cpu_usage": 1.5})),
    ("air,room=kitchen,floor=2 co2=400i", ("2/kitchen", {"air_co2": 400.0})),
    ("air co2=400u,open=t,shut=FALSE", ("default", {"air_co2": 400, "air_open": 1, "air_shut": 0})),
    ('air s="a, b=c \\" d",co2=-.5e1', ("default", {"air_co2": -5.0})),
    ('air s="two\nlines",co2=1.', ("default", {"air_co2": 1.0})),
    ("°C,entity_id=living_room value=21.5", ("living_room", {"degC_value": 21.5})),
    ("%,device=Living\\ Room value=50", ("Living-Room", {"percent_value": 50.0})),
    ("µg/m³,device=Küche value=5", ("Kuche", {"ug_m3_value": 5.0})),
    ("in-side,device=a b-c=1", ("a", {"in_side_b_c": 1.0})),
    ("9dof,device=a x=1", ("a", {"_9dof_x": 1.0})),
    ("a\\ b,de\\,v=1,device=x\\=y\\,z f\\ g=1", ("x-y-z", {"a_b_f_g": 1.0})),
    ("  a,device=b f=1  ", ("b", {"a_f": 1.0})),
    ("a,device=b  f=1\r", ("b", {"a_f": 1.0})),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), GOOD)
def test_a_line_is_a_reading(line: str, expected: tuple[str, dict[str, float]]):
    device, metrics = expected
    assert parse(line) == ({0: [Row(device, NOW_MS, metrics)]}, {})


BAD = {
    "a": "missing fields",
    "a,": "missing tag key",
    "a,b": "missing tag value",
    "a,b= f=1": "missing tag value",
    "a,b=1,b=2 f=1": "duplicate tags b",
    "a,b=c=d f=1": "invalid tag format",
    ",b=c f=1": "missing measurement",
    "a f": "invalid field format",
    "a f=": "missing field value",
    "a =1": "missing field key",
    "a f=1,": "invalid field format",
    "a f=1,f=2": "duplicate field f",
    "a f=warm": "invalid boolean f=warm",
    "a f=nan": "invalid number",
    "a f=1_0": "invalid number",
    "a f=1=2,3": "invalid number",
    "a f=1e999": "f=1e999 is out of range",
    "a f=9223372036854775808i": "f=9223372036854775808i is out of range",
    'a f="x': "unbalanced quotes",
    'a f="x"y': "invalid field format",
    "a f=1 5 6": "bad timestamp 5 6",
    "a f=1 1.5": "bad timestamp 1.5",
    "a f-g=1,f_g=2": "two fields are the metric a_f_g",
    "a,device=日本 f=1": "tag device='日本' is not a device",
    f"a,device={'x' * 129} f=1": "tag device=",
    f"a,b={'x' * 100},c={'x' * 100} f=1": "the tag values have 201 characters",
    f"a {'x' * 70}=1": "metric 'a_xxx",
}


@pytest.mark.parametrize("line", BAD)
def test_a_bad_line_has_a_reason(line: str):
    found, errors = parse(f"{line}\nb,device=c f=1" if 'f="x' not in line else line)
    assert errors[0].startswith(BAD[line])
    assert [index for index in found if index] == ([1] if 'f="x' not in line else [])
    assert 0 not in found


def test_text_is_not_utf_8():
    assert parse(b"a,device=\xff f=1")[1][0].endswith("is not UTF-8")


@pytest.mark.parametrize(
    ("name", "timestamp", "expected"),
    [
        ("", NOW_NS + 999_999, NOW_MS), ("n", NOW_NS, NOW_MS), ("u", NOW_MS * 1000, NOW_MS),
        ("us", NOW_MS * 1000, NOW_MS), ("ms", NOW_MS - 1, NOW_MS - 1), ("s", NOW_MS // 1000, NOW_MS),
        ("m", NOW_MS // 60_000, NOW_MS), ("h", NOW_MS // 3_600_000, NOW_MS),
    ],
)  # fmt: skip
@pytest.mark.parametrize("count", [1, 20])
def test_precisions(name: str, timestamp: int, expected: int, count: int):
    text = "\n".join([f"a,device=b f=1 {timestamp}"] * count)
    found, errors = parse(text, NS._replace(precision=times.v1(name)))
    assert [row.time_ms for [row] in found.values()] == [expected] * count
    assert not errors


def test_automatic_precision_follows_from_the_size():
    text = "\n".join(f"a,device=b f=1 {NOW_NS // 10**n}" for n in (0, 3, 6, 9) * 3)
    found, errors = parse(text, NS._replace(precision=times.v3("")))
    assert {row.time_ms for [row] in found.values()} == {NOW_MS}
    assert not errors


@pytest.mark.parametrize(
    ("timestamp", "reason"),
    [
        (NOW_MS // 1000, "before 2000-01-01T00:00:00.000Z; for a time in s send precision=s"),
        (-1, "before 2000-01-01T00:00:00.000Z; set the clock of the device"),
        (NOW_NS + 10**15, "in the future; set the clock of the device"),
    ],
)
@pytest.mark.parametrize("count", [1, 20])
def test_a_wrong_time_is_refused(timestamp: int, reason: str, count: int):
    found, errors = parse("\n".join([f"a,device=b f=1 {timestamp}"] * count))
    assert not found
    assert len(errors) == count
    assert reason in errors[0]


def test_more_fields_than_a_reading_may_have_become_several():
    fields = ",".join(f"f{n}={n}" for n in range(150))
    for count in (1, 20):
        found, errors = parse("\n".join([f"a,device=b {fields}"] * count))
        assert not errors
        for parts in found.values():
            assert [len(row.metrics) for row in parts] == [64, 64, 22]
            assert {k: v for row in parts for k, v in row.metrics.items()} == {
                f"a_f{n}": n for n in range(150)
            }


def test_a_series_keeps_the_order_of_its_lines():
    text = "\n".join(["a f=1", "a f=2,g=1", "a f=3", "b f=1", "a f=4,g=2"] * 4)
    batch = body.parse(text.encode(), NS, [])
    columns = [
        block.metrics["a_f"]
        for blocks in batch.blocks.values()
        for block in blocks
        if "a_f" in block.metrics
    ]
    values = [x for c in columns for x in (np.frombuffer(c) if isinstance(c, bytes) else [c])]
    assert values == [1, 2, 3, 4] * 4


ODD = [
    "a f=1,g=2 T", "a f= T", "a f=1,2 T", "a f=1i T", "a f=i1 T", "a f=1e3 T", "a f=007 T", "a f T",
    "a fg=1 T", "a g=1 T", "a =1 T", "a f=t T", f"a f={'1' * 40} T", f"a,b={'x' * 100} f=-.5 T",
    f"a,{'x' * 600}=y f=5 T", "b f=2 T", "a f=2", "a f=2 T0", "a f=2 -T", "a  f=2 T", "a f=2\x01 T",
    "a f==2 T", " f=2 T", "a f=2 ", "a f=9223372036854775808i T", "a_f,device=c f=0.1 T",
]  # fmt: skip


@pytest.mark.parametrize("value", ["21.5", "7i"])
@pytest.mark.parametrize("odd", ODD)
def test_one_line_among_many_is_parsed_as_alone(odd: str, value: str):
    lines = [f"a,device=d{n} f={value} T" for n in range(100)]
    lines = [line.replace("T", str(NOW_NS)) for line in (*lines, odd, *lines)]
    alone = [parse(line) for line in lines]
    assert parse("\n".join(lines)) == (
        {n: found[0] for n, (found, _) in enumerate(alone) if found},
        {n: errors[0] for n, (_, errors) in enumerate(alone) if errors},
    )


def test_comments_and_empty_lines_are_skipped_and_lines_are_numbered():
    found, errors = parse('# note\n\na f=1\r\n \nb s="x\ny"\nc\n')
    assert list(found) == [2]
    assert list(errors) == [6]


def test_too_many_lines_are_refused():
    for text in ("a f=1\n" * 1_001, "a f=1,g=t\nb f=1\n" * 501):
        with pytest.raises(Refused, match="send at most 1000") as caught:
            parse(text)
        assert caught.value.status == 413


def test_the_caches_are_bounded(monkeypatch: pytest.MonkeyPatch):
    rules = Rules(Settings())
    monkeypatch.setattr(cache, "HEADS_MAX", 10)
    monkeypatch.setattr(cache, "SHAPES_MAX", 10)
    context = NS._replace(rules=rules)
    for n in range(25):
        body.parse(f"m{n},device=d f{n}=1".encode(), context, None)
    body.parse(b"m,device=d,t=%b f%b=1" % (b"x" * 600, b"x" * 3000), context, [])
    assert (len(rules.heads.all), len(rules.shapes)) == (5, 5)
