"""What a device, a metric and a time may be."""

from __future__ import annotations

import pytest

from tributary.model import reading

MOMENT_MS = 1_795_341_600_250


@pytest.mark.parametrize(
    ("given", "ms"),
    [
        ("2026-11-22T10:00:00.250Z", MOMENT_MS),
        ("2026-11-22T11:00:00.250+01:00", MOMENT_MS),
        ("2026-11-22 10:00:00.250Z", MOMENT_MS),
        ("2026-11-22t10:00:00.2509z", MOMENT_MS),
        (MOMENT_MS / 1000, MOMENT_MS),
        (MOMENT_MS, MOMENT_MS),
        (MOMENT_MS * 1000 + 999, MOMENT_MS),
        (MOMENT_MS * 1_000_000 + 999_999, MOMENT_MS),
        (1_698_501_144_401_773_000, 1_698_501_144_401),
        (0, 0),
        (4_999_999_999, 4_999_999_999_000),
        (5_000_000_000, 5_000_000_000),
        (4_999_999_999_999, 4_999_999_999_999),
        (5_000_000_000_000, 5_000_000_000),
        (4_999_999_999_999_999, 4_999_999_999_999),
        (5_000_000_000_000_000, 5_000_000_000),
        (1_763_805_600.251, 1_763_805_600_251),
        (1_763_805_600.001, 1_763_805_600_001),
        (1_763_805_600.2519, 1_763_805_600_251),
        (1_763_805_600.9999, 1_763_805_600_999),
        (0.0009, 0),
        (4_999_999_999.9999, 4_999_999_999_999),
        (1_763_805_600_250.9, 1_763_805_600_250),
        ("2026-11-22T10:00:00.250999999Z", MOMENT_MS),
        ("2026-11-22T10:00:00.2509999+0000", MOMENT_MS),
        ("2026-11-22T09:59:59.999999999Z", MOMENT_MS - 251),
        ("2025-12-31T23:59:59.999999999999Z", 1_767_225_599_999),
        ("2026-11-22T15:30:00.250+0530", MOMENT_MS),
        ("2026-11-22T15:30:00.250+05:30", MOMENT_MS),
    ],
)
def test_the_unit_of_a_number_follows_from_its_size(given: float | str, ms: int):
    assert reading.time_ms(given) == ms


@pytest.mark.parametrize(
    "given", ["2026-11-22T10:00:00", "2026-11-22", "10:00Z", "now", "", "1763805600", -1, -0.001,
              "1969-12-31T23:59:59Z", "2026-11-22T23:59:60Z"]
)  # fmt: skip
def test_invalid_times_are_rejected(given: float | str):
    with pytest.raises(ValueError, match=r".+"):
        reading.time_ms(given)


# The table in docs/http.md.
@pytest.mark.parametrize(
    "text",
    ["2026-11-22T10:00:00Z", "2026-11-22t10:00:00z", "2026-11-22 10:00:00Z",
     "2026-11-22T15:30:00+05:30", "2026-11-22T15:30:00+0530", "2026-11-22T10:00:00-00:00",
     "2026-11-22T04:30:00-0530", "2026-11-22T10:00:00." + "0" * 30 + "9Z"],
)  # fmt: skip
def test_unambiguous_times_are_accepted(text: str):
    assert reading.time_ms(text) == MOMENT_MS - 250


@pytest.mark.parametrize(
    "text",
    ["2026-11-22T15:30:00+05", "2026-11-22T15:30:00+5:30", "2026-11-22T10:00:00UTC",
     "2026-11-22T15:30:00+05:3", "2026-11-22T15:30:00+05:60", "2026-11-22T15:30:00+24:00",
     "2026-11-22T24:00:00Z", "2026-12-31T23:59:60Z", "0000-01-01T00:00:00Z", "2026-02-29T00:00:00Z",
     "2026-11-22T10:00Z", "20261122T100000Z", "2026-11-22T10:00:00,5Z", "2026-11-22T10:00:00.Z",
     " 2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z\n", "2026-11-22_10:00:00Z",
     "2026-11-22T10:00:00.25000005:00Z", "\uff12026-11-22T10:00:00Z"],
)  # fmt: skip
def test_ambiguous_times_are_rejected(text: str):
    with pytest.raises(ValueError, match=r".+"):
        reading.time_ms(text)


@pytest.mark.parametrize("second", [0, 1, 1_763_805_600, 4_999_999_999])
def test_seconds_keep_their_milliseconds(second: int):
    for ms in range(1000):
        assert reading.time_ms(float(f"{second}.{ms:03}")) == second * 1000 + ms


def test_times_are_formatted_with_milliseconds_and_zone():
    assert reading.rfc3339(MOMENT_MS) == "2026-11-22T10:00:00.250Z"
    assert reading.rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert reading.time_ms(reading.rfc3339(1)) == 1
    assert reading.rfc3339(1 << 62) == "4611686018427387904 ms"


@pytest.mark.parametrize(
    "name",
    ["a", "car-7", "building/room", "urn:dev:ow:10e2:", "...", "./a", "a/../b", "A.b_c", "x" * 128],
)
def test_valid_device_names(name: str):
    assert reading.is_device(name)


@pytest.mark.parametrize("name", ["", "x" * 129, "a b", "{1}", "a\n", "ü", "a|b", "a%b", ".", ".."])
def test_invalid_device_names(name: str):
    assert not reading.is_device(name)


@pytest.mark.parametrize("name", ["a", "_x", "engine_temperature", "accelerometer.x", "x" * 64])
def test_valid_metric_names(name: str):
    assert reading.is_metric(name)


@pytest.mark.parametrize("name", ["", "1a", ".a", "a-b", "x" * 65, "device", "recorded_at", "a\n"])
def test_invalid_metric_names(name: str):
    assert not reading.is_metric(name)
