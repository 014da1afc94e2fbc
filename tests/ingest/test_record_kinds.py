"""What clients send to `/record`: taken where it is certain, rejected with the remedy where not."""

from __future__ import annotations

import struct
import time

import pytest

from ingest.doors import record
from ingest.doors.record import form, item
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.model import reading
from tributary.model.frame import Block
from tributary.settings import Settings

NOW_MS = int(time.time() * 1000)
RULES = Rules(Settings())
FORM = "application/x-www-form-urlencoded"
LINES = "application/x-ndjson"
MOMENT_MS = 1_763_805_600_250  # 2025-11-22T10:00:00.250Z


def decoded(body: bytes, content_type: str = "") -> tuple[list[Block], tuple[str, ...]]:
    """The blocks of a body, and what was ignored."""
    batch = record.decode(body, content_type, NOW_MS, RULES)
    blocks = [block for blocks in batch.blocks.values() for block in blocks]
    for number, block in enumerate(blocks):
        if isinstance(block.recorded_at_ms, bytes) and len(block.recorded_at_ms) == 8:
            (time_ms,) = struct.unpack("q", block.recorded_at_ms)
            values = {k: struct.unpack("d", v)[0] for k, v in block.metrics.items()}
            blocks[number] = Block(block.device, time_ms, values)
    return blocks, (*batch.ignored,)


def rejected(body: bytes, content_type: str = "") -> Refused:
    with pytest.raises(Refused) as caught:
        record.decode(body, content_type, NOW_MS, RULES)
    return caught.value


TAKEN: dict[bytes, tuple[str, int, dict[str, float]]] = {
    # 20: numbers as text, booleans
    b'{"device":"esp-a","temperature":"23.50","humidity":"40.1"}': (
        "esp-a", NOW_MS, {"temperature": 23.5, "humidity": 40.1},
    ),
    b'{"device":"a","x":" -1.5e1 ","y":"+3","z":".5"}': ("a", NOW_MS, {"x": -15, "y": 3, "z": 0.5}),
    b'{"device":"pir-1","motion":true,"temperature":23.5}': (
        "pir-1", NOW_MS, {"motion": 1, "temperature": 23.5},
    ),
    # 22: other names of device and time
    b'{"device":"esp-e","ts":1763805600,"temperature":23.5}': (
        "esp-e", 1_763_805_600_000, {"temperature": 23.5},
    ),
    b'{"deviceId":17,"temperature":23.5}': ("17", NOW_MS, {"temperature": 23.5}),
    b'{"device":17,"temperature":23.5}': ("17", NOW_MS, {"temperature": 23.5}),
    b'{"device_id":"esp32-01","temperature":23.5}': ("esp32-01", NOW_MS, {"temperature": 23.5}),
    b'{"mac":"A4:CF:12:00:00:01","time":"2025-11-22T10:00:00.250Z","x":1}': (
        "A4:CF:12:00:00:01", MOMENT_MS, {"x": 1},
    ),
    b'{"device":null,"nodeId":"n","ts":null,"tst":1763805600.25,"x":1}': ("n", MOMENT_MS, {"x": 1}),
    # 24: nested objects
    b'{"device":"n-1","bme280":{"temperature":23.5,"humidity":40}}': (
        "n-1", NOW_MS, {"bme280.temperature": 23.5, "bme280.humidity": 40},
    ),
    b'{"a":{"b":{"c":"1","time":2}}}': ("default", NOW_MS, {"a.b.c": 1, "a.b.time": 2}),
    # 29: byte order mark, epoch as text, null as time
    b'\xef\xbb\xbf{"device":"bom","temperature":1}': ("bom", NOW_MS, {"temperature": 1}),
    b'{"recorded_at":"1763805600.25","x":1}': ("default", MOMENT_MS, {"x": 1}),
    b'{"recorded_at":"1763805600250","x":1}': ("default", MOMENT_MS, {"x": 1}),
    b'{"recorded_at":"1763805600250999999","x":1}': ("default", MOMENT_MS, {"x": 1}),
    b'{"recorded_at":null,"x":1}': ("default", NOW_MS, {"x": 1}),
    b'{"recorded_at":946684800,"x":1}': ("default", 946_684_800_000, {"x": 1}),
}  # fmt: skip


@pytest.mark.parametrize("body", TAKEN)
@pytest.mark.parametrize("wrapped", [b"%b", b"[%b]", b"lines"])
def test_takes_what_is_certain(body: bytes, wrapped: bytes):
    if wrapped == b"lines":
        assert decoded(body + b"\n", LINES) == ([Block(*TAKEN[body])], ())
    elif not body.startswith(b"\xef"):
        assert decoded(wrapped % body) == ([Block(*TAKEN[body])], ())


@pytest.mark.parametrize("name", reading.DEVICE_FIELDS)
def test_finds_the_device_under_every_name(name: str):
    assert decoded(b'{"%b":"car-7","x":1}' % name.encode())[0] == [Block("car-7", NOW_MS, {"x": 1})]


@pytest.mark.parametrize("name", reading.TIME_FIELDS)
def test_finds_the_time_under_every_name(name: str):
    for written in (b"1763805600250", b'"2025-11-22T10:00:00.25Z"', b'"1763805600250"'):
        body = b'{"%b":%b,"x":1}' % (name.encode(), written)
        assert decoded(body)[0] == [Block("default", MOMENT_MS, {"x": 1})]


@pytest.mark.parametrize(
    ("body", "metrics", "ignored"),
    [
        (b'{"temperature":null,"humidity":40.1}', {"humidity": 40.1}, ("temperature",)),
        (b'{"temperature":nan,"humidity":40.1}', {"humidity": 40.1}, ("temperature",)),
        (b'{"x":-Infinity,"y":-inf,"z":NaN,"h":1}', {"h": 1}, ("x", "y", "z")),
        (b'{"status":"ok","temperature":23.5}', {"temperature": 23.5}, ("status",)),
        (
            b'{"a":{"state":"on","x":1},"air quality":"good"}',
            {"a.x": 1},
            ("a.state", "air quality"),
        ),
        (b'{"device":"d","DeviceID":"x","x":1}', {"x": 1}, ("DeviceID",)),
        (b'{"x":"1,5","y":"0x10","z":"007","h":1}', {"h": 1}, ("x", "y", "z")),
        (
            b'{"Time":"2025-11-25T15:40:45","DS18B20":{"Id":"0000B1","Temperature":19.9},"TempUnit":"C"}',
            {"DS18B20.Temperature": 19.9},
            ("Time", "DS18B20.Id", "TempUnit"),
        ),
    ],
)
def test_lists_what_is_not_a_number(
    body: bytes, metrics: dict[str, float], ignored: tuple[str, ...]
):
    blocks, names = decoded(body)
    assert [block.metrics for block in blocks] == [metrics]
    assert names == ignored


def test_lists_each_name_once_and_a_hundred_at_most():
    one = b'{"x":1,%b}' % b",".join(b'"t%d":null' % n for n in range(60))
    other = b'{"x":1,%b}' % b",".join(b'"u%d":"%b"' % (n, b"x" * 90) for n in range(60))
    long = b'{"x":1,"%b":null}' % (b"n" * 500)
    assert decoded(b"[%b,%b]" % (one, one))[1] == (*(f"t{n}" for n in range(60)),)
    assert len(decoded(b"[%b,%b]" % (one, other))[1]) == item.IGNORED_MAX
    assert decoded(long)[1] == ("n" * 80,)


def test_takes_columns_with_missing_cells():
    body = b'{"mac":"m","ts":[1763805600250,1763805600251,"1763805600252"],"x":[1,null,"3"],"u":"C"'
    blocks, ignored = decoded(body + b',"env":{"y":[true,5,6]}}')
    assert ignored == ("u", "x")
    assert blocks == [
        Block("m", MOMENT_MS, {"x": 1.0, "env.y": 1.0}),
        Block("m", MOMENT_MS + 1, {"env.y": 5.0}),
        Block("m", MOMENT_MS + 2, {"x": 3.0, "env.y": 6.0}),
    ]


REJECTED = [
    # 21: nothing left
    (b'{"temperature":null}', 422, "not_a_number", "'temperature' is null"),
    (b'{"status":"ok"}', 422, "not_a_number", "'status' is the string 'ok'"),
    (b'{"device":"a","b":"x","c":nan}', 422, "not_a_number", "'b', 'c'"),
    (b'{"x":1e999,"y":1}', 422, "out_of_range", "'x'"),
    (b'{"x":"1e999","y":1}', 422, "out_of_range", "'x'"),
    (b'{"x":[1,null]}', 422, "not_a_number", "'x' is null"),
    # 22: two candidates; an alias is never a metric
    (b'{"device":"a","device_id":"b","x":1}', 422, "ambiguous_field", "'device' and 'device_id'"),
    (b'{"dev_eui":"a","deviceId":2,"x":1}', 422, "ambiguous_field", "'dev_eui' and 'deviceId'"),
    (b'{"ts":1763805600,"timestamp":1763805600,"x":1}', 422, "ambiguous_field", "'ts'"),
    (b'{"device":"a","ts":1763805600}', 422, "no_metrics", "no metrics"),
    (b'{"device":"a","DeviceId":7,"x":1}', 422, "reserved_name", "'device_id'"),
    (b'{"device":"a","Timestamp":1763805600,"x":1}', 422, "reserved_name", "'timestamp'"),
    (b'{"devcie":"car-7","x":1}', 422, "unknown_field", "'device'"),
    (b'{"Device_Name":"car-7","x":1}', 422, "unknown_field", "'device_name'"),
    (b'{"recordedAt":"2025-11-22T10:00:00Z","x":1}', 422, "unknown_field", "'recorded_at'"),
    (b'{"timestmap":"2025-11-22T10:00:00Z","x":1}', 422, "unknown_field", "'timestamp'"),
    (b'{"Time":"2025-11-22T10:00:00Z","x":1}', 422, "unknown_field", "'time'"),
    (b'{"device":1.5,"x":1}', 422, "invalid_device", "1.5"),
    (b'{"deviceName":null,"x":1}', 422, "invalid_device", "None"),
    # 23: a clock that is not set
    (b'{"recorded_at":123456,"x":1}', 422, "in_past", "leave recorded_at out"),
    (b'{"ts":"12.5","x":1}', 422, "in_past", "leave ts out"),
    (b'{"time":"1970-01-01T00:00:09Z","x":1}', 422, "in_past", "leave time out"),
    (b'{"recorded_at":"1969-12-31T23:59:59Z","x":1}', 422, "in_past", "2000-01-01T00:00:00.000Z"),
    (b'{"recorded_at":946684799.999,"x":1}', 422, "in_past", "oldest_time"),
    (b'{"recorded_at":[123456],"x":[1]}', 422, "in_past", "leave recorded_at out"),
    # 25: not columns
    (b'{"id":"a","x":1,"values":[1]}', 400, "wrong_shape", "'x' is a number"),
    (b'{"id":"a","values":[{"type":"x"}]}', 400, "wrong_shape", "'values' contains an object"),
    # 28: device names with other characters
    (b'{"device":"Living Room","x":1}', 422, "invalid_device", "did you mean 'Living-Room'?"),
    ('{"device":" Küche/2 ","x":1}'.encode(), 422, "invalid_device", "did you mean 'Kuche/2'?"),
    (b'{"device":"{}","x":1}', 422, "invalid_device", "/ -"),
    # 29
    (b"", 400, "not_json", "the body is empty: no Content-Length"),
    (b'{"recorded_at":"2025-11-25T15:00:00","x":1}', 422, "invalid_time", "has no zone"),
    (b'{"timestamp":"2025-11-25 15:00:00","x":1}', 422, "invalid_time", "timestamp: "),
    (b"device=a&x=1", 400, "not_json", "Content-Type: application/x-www-form-urlencoded"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "code", "words"), REJECTED)
def test_rejects_what_is_doubtful_with_the_remedy(body: bytes, status: int, code: str, words: str):
    refusal = rejected(body)
    assert (refusal.status, refusal.code) == (status, code)
    assert words in refusal.message


@pytest.mark.parametrize(
    "name", ["times", "devices", "Ts", "mach", "uptime", "sensor", "node", "time_to_live", "_time"]
)
def test_other_names_are_metrics(name: str):
    body = b'{"device":"a","%b":5,"x":1}' % name.encode()
    assert decoded(body)[0] == [Block("a", NOW_MS, {name: 5.0, "x": 1.0})]


@pytest.mark.parametrize(
    ("body", "taken"),
    [
        (b"device=esp32&temperature=23.5&humidity=40", {"temperature": 23.5, "humidity": 40}),
        (b"deviceId=esp32&x=%31&on=true&ts=1763805600.25", {"x": 1, "on": 1}),
        (b"device=esp32&a.b=-1&time=2025-11-22T11:00:00.25+01:00\r\n", {"a.b": -1}),
        (b'{"device":"esp32","x":1}', {"x": 1}),
        (b'\xef\xbb\xbf \n{"device":"esp32","x":1}', {"x": 1}),
    ],
)
def test_takes_a_form_as_one_reading(body: bytes, taken: dict[str, float]):
    ((block,), ignored) = decoded(body, f"{FORM}; charset=utf-8")
    assert (block.device, block.metrics, ignored) == ("esp32", taken, ())
    assert block.recorded_at_ms == (MOMENT_MS if b"=20" in body or b"ts=" in body else NOW_MS)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"hello", 400, "not_json"),
        (b"'{a:1}'", 400, "not_json"),
        (b"x=1&x=2", 400, "duplicate_name"),
        (b"x=%ff", 400, "bad_encoding"),
        (b"device=a%20b&x=1", 422, "invalid_device"),
        (b"device=a&x=", 422, "not_a_number"),
        (b"a-b=1", 422, "invalid_metric"),
        (b"&".join(b"m%d=1" % n for n in range(65)), 422, "too_many_metrics"),
        (b"&".join(b"m%d=1" % n for n in range(form.FIELDS_MAX + 1)), 422, "too_many_fields"),
    ],
)
def test_rejects_a_bad_form(body: bytes, status: int, code: str):
    refusal = rejected(body, FORM)
    assert (refusal.status, refusal.code) == (status, code)
