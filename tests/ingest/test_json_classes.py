"""Classes of JSON that are known to break servers: each is a 4xx, never a 500."""

from __future__ import annotations

import json
import time

import pytest

from ingest.doors import record
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.settings import Settings

NOW_MS = int(time.time() * 1000)
RULES = Rules(Settings())

# No number: ignored beside one.
IGNORED_VALUES = {
    "nan": b"NaN",
    "infinity": b"Infinity",
    "minus_infinity": b"-Infinity",
    "c_nan": b"nan",
    "c_minus_nan": b"-nan",
    "c_inf": b"inf",
    "c_minus_inf": b"-inf",
    "upper_nan": b"NAN",
    "null": b"null",
    "string": b'"ok"',
    "nan_string": b'"NaN"',
    "decimal_comma": b'"23,5"',
    "hexadecimal_string": b'"0x10"',
    "empty_string": b'""',
    "empty_object": b"{}",
    "object": b'{"value":{}}',
    "object_with_text": b'{"value":"ok"}',
    "lone_surrogate": b'"\\ud800"',
    "nul_escaped": b'"\\u0000"',
}
# In the place of a number, but not an accepted one.
BAD_VALUES = {
    "overflow": b"1e999",
    "overflow_string": b'"1e999"',
    "nan_with_digits": b"1nan",
    "nan_word": b"nano",
    "minus_overflow": b"-1e999",
    "int_of_4301_digits": b"9" * 4301,
    "int_of_400_digits": b"1" + b"0" * 400,
    "int_of_309_digits": b"2" + b"0" * 309,
    "array_in_array": b"[[1]]",
    "deep_10": b"[" * 10 + b"1" + b"]" * 10,
    "deep_1000": b"[" * 1000 + b"1" + b"]" * 1000,
    "deep_100000": b"[" * 100_000 + b"1" + b"]" * 100_000,
    "deep_objects": b'{"a":' * 1000 + b"1" + b"}" * 1000,
    "leading_zero": b"01",
    "leading_plus": b"+1",
    "leading_dot": b".5",
    "trailing_dot": b"1.",
    "hexadecimal": b"0x10",
    "underscore": b"1_000",
    "comma": b"1,5",
    "bare_word": b"ninety",
    "nothing": b"",
    "bad_utf8": b'"\xff"',
    "nul_byte": b"\x00",
    "comment": b"1/*c*/",
}

# The places.
POSITIONS = {
    "only_value": b'{"engine_temperature":%b}',
    "second_value": b'{"engine_temperature":1,"engine_rpm":%b}',
    "with_device": b'{"device":"car-7","engine_temperature":%b}',
    "in_array": b'[{"engine_temperature":%b}]',
    "in_second_of_array": b'[{"engine_temperature":1},{"engine_temperature":%b}]',
    "in_columns": b'{"engine_temperature":[1,%b],"recorded_at":[1,2]}',
    "whole_body": b"%b",
}

BAD_BODIES = {
    "empty": b"",
    "blank": b"  \n",
    "empty_array": b"[]",
    "empty_object": b"{}",
    "array_of_numbers": b"[1,2]",
    "array_of_arrays": b"[[]]",
    "array_of_nulls": b"[null]",
    "scalar": b"3",
    "string": b'"engine_temperature"',
    "null": b"null",
    "only_device": b'{"device":"car-7"}',
    "only_time": b'{"recorded_at":1763805600250}',
    "trailing_data": b'{"a":1} x',
    "two_objects": b'{"a":1}{"a":2}',
    "two_lines": b'{"a":1}\n{"a":2}',
    "trailing_comma": b'{"a":1,}',
    "single_quotes": b"{'a':1}",
    "unquoted_name": b"{a:1}",
    "unclosed": b'{"a":1',
    "unclosed_array": b'[{"a":1}',
    "two_boms": b'\xef\xbb\xbf\xef\xbb\xbf{"a":1}',
    "two_devices": b'{"device":"a","mac":"b","x":1}',
    "two_times": b'{"ts":1763805600,"time":1763805600,"x":1}',
    "flattens_to_one_name": b'{"a":{"b":1},"a.b":2}',
    "nested_too_deeply": b'{"a":' * 17 + b"1" + b"}" * 17,
    "columns_of_objects": b'{"a":[{"b":1}]}',
    "array_beside_number": b'{"device":"a","x":1,"tags":["b"]}',
    "utf16": '{"a":1}'.encode("utf-16"),
    "utf16_le": '{"a":1}'.encode("utf-16-le"),
    "utf32": '{"a":1}'.encode("utf-32"),
    "bad_utf8_in_name": b'{"\xff":1}',
    "overlong_utf8_in_name": b'{"\xc0\xaf":1}',
    "surrogate_in_name": b'{"\\ud800":1}',
    "raw_surrogate": b'{"\xed\xa0\x80":1}',
    "nul_in_name": b'{"a\\u0000":1}',
    "same_name_twice": b'{"a":1,"a":2}',
    "same_name_escaped": b'{"a":1,"\\u0061":2}',
    "device_twice": b'{"device":"a","device":"b","x":1}',
    "same_name_twice_in_array": b'[{"a":1,"a":2}]',
    "same_name_twice_in_second": b'[{"a":1},{"a":1,"a":2}]',
    "name_lost_and_twice": b'[{"a":1,"b":1},{"a":1,"a":2}]',
    "columns_of_two_lengths": b'{"a":[1,2],"b":[1]}',
    "columns_without_values": b'{"recorded_at":[1,2]}',
    "empty_columns": b'{"a":[],"recorded_at":[]}',
    "column_and_number": b'{"a":[1],"b":1}',
    "time_column_alone_is_array": b'{"a":1,"recorded_at":[1]}',
    "device_column": b'{"device":["a"],"x":[1]}',
    "columns_in_array": b'[{"a":[1]}]',
    "65_metrics": json.dumps({f"m{i}": 1 for i in range(65)}).encode(),
    "deep_arrays": b"[" * 100_000,
    "deep_objects": b'{"a":' * 100_000,
}

DEVICES = (
    "",
    "{x}",
    "a b",
    "../..\r\n",
    "a\nb",
    "a\x00",
    "ü",
    "😀",
    "\u202eabc",
    "*",
    "a" * 129,
    "a%2f",
    "a|b",
)
TIMES = (
    "true", "[1]", "{}", '""', '"now"', '"2026-11-22T10:00:00"', '"2026-11-22"',
    '"2026-13-01T00:00:00Z"', '"2026-11-22T25:00:00Z"', '"0001-01-01T00:00:00+14:00"',
    '"9999-12-31T23:59:59-14:00"', '"1969-12-31T23:59:59Z"', '"\\ud800"', "-1", "-0.5", "0", "123456", "946684799.999", '"946684799"', '"1999-12-31T23:59:59.999Z"', '" "',
    '"1e9"', '"-1"', "4102444800",
    "1e300", "4102444800000", "4102444800000000", "4102444800000000000",
    "99999999999999999999999999", "9" * 400,
)  # fmt: skip

CASES = {
    **{
        f"{value}-{position}": template % BAD_VALUES[value]
        for position, template in POSITIONS.items()
        for value in BAD_VALUES
    },
    **{
        f"{value}-{position}": template % IGNORED_VALUES[value]
        for position, template in POSITIONS.items()
        for value in IGNORED_VALUES
        if position != "second_value"
    },
    **BAD_BODIES,
    **{
        f"device-{n}": json.dumps({"device": device, "x": 1}).encode()
        for n, device in enumerate(DEVICES)
    },
    **{
        f"device-in-array-{n}": json.dumps([{"device": device, "x": 1}] * 2).encode()
        for n, device in enumerate(DEVICES)
    },
    **{f"time-{n}": b'{"x":1,"recorded_at":%b}' % t.encode() for n, t in enumerate(TIMES)},
    **{f"time-in-array-{n}": b'[{"x":1,"recorded_at":%b}]' % t.encode() for n, t in enumerate(TIMES)},
    **{f"time-column-{n}": b'{"x":[1],"recorded_at":[%b]}' % t.encode() for n, t in enumerate(TIMES)},
    **{f"device-value-{n}": b'{"x":1,"device":%b}' % v for n, v in enumerate((b"1.5", b"null", b"true", b"[]", b"{}", b"1e999"))},
    **{f"metric-{n}": json.dumps({name: 1}).encode() for n, name in enumerate(("", "1a", "a-b", "a b", "a" * 65, "ü", "a\n", "a|b", ".a", "$a"))},
}  # fmt: skip


def test_has_at_least_200_cases():
    assert len(CASES) >= 200


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
def test_rejects_invalid_json(kind: str):
    for name, body in CASES.items():
        if (name, kind) == ("two_lines", "application/x-ndjson"):
            continue
        rejected = None
        try:
            record.decode(body, kind, NOW_MS, RULES)
        except Refused as refused:
            rejected = refused
        assert rejected is not None, name
        assert 400 <= rejected.status < 500, name
        assert rejected.code, name
        assert "\n" not in rejected.message, name


@pytest.mark.parametrize("value", IGNORED_VALUES.values(), ids=IGNORED_VALUES.keys())
def test_ignores_what_is_not_a_number_beside_one(value: bytes):
    for template in (POSITIONS["second_value"], b"[" + POSITIONS["second_value"] + b"]"):
        accepted = record.decode(template % value, "", NOW_MS, RULES)
        ((block,),) = accepted.blocks.values()
        assert block.metrics == {"engine_temperature": 1}
        assert {*accepted.ignored} <= {"engine_rpm", "engine_rpm.value"}
        assert accepted.ignored or b"{}" in value


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":-0}', 0.0),
        (b'{"a":-0.0}', 0.0),
        (b'{"a":1e308}', 1e308),
        (b'{"a":5e-324}', 5e-324),
        (b'{"a":9007199254740993}', 9007199254740992.0),
        (b' {"a" : 1 } ', 1.0),
        (b'\xef\xbb\xbf{"a":1}', 1.0),
        (b'\xef\xbb\xbf \n{"a":1}', 1.0),
        (b'{"a":"23.50"}', 23.5),
        (b'{"a":" -4 "}', -4.0),
        (b'{"a":"1e3"}', 1000.0),
        (b'{"a":true}', 1.0),
        (b'{"a":false}', 0.0),
        (b'{"a":1,"recorded_at":null}', 1.0),
        (b'{"a":1,"b":"nan, inf and \\"nan\\"","c":nan}', 1.0),
        (b'{"\\u0061":1}', 1.0),
        (b'{"a":123456789012345678901234567890}', 1.2345678901234568e29),
    ],
)
def test_accepts_unusual_but_valid_json(body: bytes, value: float):
    accepted = record.decode(body, "", NOW_MS, RULES)
    ((block,),) = accepted.blocks.values()
    assert block.metrics == {"a": value}
