"""Bodies of `POST /record`: every format, valid and invalid."""

from __future__ import annotations

import gzip
import json
import random
import string
from typing import Any

T_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
DEVICES = ["car-1", "car-2", "car-77", "van/3", "a//b", "a.b_c:d-e", "default", "x" * 128]
_BAD_DEVICES: list[Any] = [
    "", "a b", "{x}", "x" * 129, "größe", "a\n", "a%2fb", 7, None, True, ["car-1"], {}, "car-*",
]  # fmt: skip
_METRICS = ["engine_temperature", "engine_rpm", "a", "_x.y", "M" + "9" * 63]
_BAD_METRICS = ["", "9a", "a-b", "a b", "M" * 65, "é", "a\x00", ".a", "recorded-at"]
_VALUES: list[Any] = [0, 1, -1, 92.3, 0.1, -0.0, 1e308, 5e-324, 2**53 + 1, 10**30, -(2**63)]
_BAD_VALUES: list[Any] = [None, True, "1", [], {}, [1], {"a": 1}, 10**400]
_TIMES: list[Any] = [
    T_MS, T_MS // 1000, T_MS * 1000, T_MS * 1_000_000, T_MS / 1000, T_MS + 0.5,
    "2026-01-01T00:00:00Z", "2026-01-01T01:00:00.250+01:00", "2026-01-01t00:00:00z",
    "2026-01-01T00:00:00.123456789Z",
]  # fmt: skip
_BAD_TIMES: list[Any] = [
    "2026-01-01T00:00:00", "yesterday", "", None, True, -1, [], {}, 4_102_444_800, 1e300,
    "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "9999-12-31T23:59:59Z",
]  # fmt: skip
_RAW = [
    b"", b" ", b"{}", b"[]", b"null", b"1", b'"x"', b"{", b"[", b'{"a":1', b'{"a":1}}', b"[[1]]",
    b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":Infinity}', b'{"a":1e999}', b'{"a":-1e999}',
    b'{"a":01}', b'{"a":1.}', b'{"a":.5}', b'{"a":+1}', b'\xef\xbb\xbf{"a":1}', b"\xff\xfe{",
    b'{"a\xff":1}', b'{"\\u0061":1}', b'{"\\ud800":1}', b'{"a":1}\x00', b' \t\r\n{"a" : 1}\n ',
    b"[" * 2000, b'{"a":' * 500, b"a=1&b=2", b"<a>1</a>", '{"a":1}'.encode("utf-16"),
    b'{"device":"car-1","device":"car-2","a":1}', b'{"recorded_at":1,"recorded_at":2,"a":1}',
    b'{"device":"car-1"}', b'{"recorded_at":1767225600}', b"[{}]", b"[null]", b"[1,2]",
]  # fmt: skip


def body(rng: random.Random, max_bytes: int, max_readings: int) -> bytes:
    """A body before content encoding."""
    kind = rng.random()
    if kind < 0.35:
        made = _dumped(rng, _reading(rng))
    elif kind < 0.6:
        few = rng.choice([0, 1, 2, 3, 5, 20, max_readings, max_readings + 1])
        made = _dumped(rng, [_reading(rng) for _ in range(few if rng.random() < 0.3 else few % 7)])
    elif kind < 0.75:
        made = _dumped(rng, _columns(rng))
    elif kind < 0.8:
        made = _dumped(rng, {f"m{n}": n for n in range(rng.choice([63, 64, 65]))})
    elif kind < 0.97:
        made = rng.choice(_RAW)
    else:
        padding = max_bytes - 7 + rng.choice([-1, 0, 1, 50])
        made = b'{"a":1}' + b" " * padding
    if rng.random() < 0.06 and made:
        at = rng.randrange(len(made))
        made = made[:at] + bytes([rng.randrange(256)]) + made[at + rng.randrange(2) :]
    return made


def lines(rng: random.Random) -> bytes:
    """An NDJSON body."""
    several = [_dumped(rng, _reading(rng)) for _ in range(rng.randrange(6))]
    if rng.random() < 0.3:
        several.insert(rng.randrange(len(several) + 1), rng.choice(_RAW[:30]))
    end = rng.choice([b"\n", b"\n", b"\r\n", b"\n\n"])
    return end.join(several) + rng.choice([b"", end])


def compressed(rng: random.Random, content: bytes, max_bytes: int) -> bytes:
    """Compress a body with gzip, most of the time correctly."""
    kind = rng.random()
    if kind < 0.6:
        return gzip.compress(content, rng.choice([1, 6]), mtime=0)
    if kind < 0.7:
        middle = len(content) // 2
        halves = content[:middle], content[middle:]
        return b"".join(gzip.compress(half, mtime=0) for half in halves)
    whole = gzip.compress(content, mtime=0)
    return rng.choice([
        b"", content, whole[:-1], whole[:5], whole + b"x", whole + b"\0" * 10, whole[:-8] + b"x" * 8,
        gzip.compress(b" " * (max_bytes + 1), mtime=0), gzip.compress(b"0" * 1_000_000, mtime=0),
        gzip.compress(whole, mtime=0),
    ])  # fmt: skip


def _mostly(rng: random.Random, good: list[Any], bad: list[Any], share: float = 0.04) -> Any:
    return rng.choice(bad if rng.random() < share else good)


def _reading(rng: random.Random) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if rng.random() < 0.8:
        made["device"] = _mostly(rng, DEVICES, _BAD_DEVICES)
    if rng.random() < 0.7:
        made["recorded_at"] = _mostly(rng, _TIMES, _BAD_TIMES)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 0])):
        made[_mostly(rng, _METRICS, _BAD_METRICS)] = _mostly(rng, _VALUES, _BAD_VALUES)
    pairs = list(made.items())
    rng.shuffle(pairs)
    return dict(pairs)


def _columns(rng: random.Random) -> dict[str, Any]:
    length = rng.choice([0, 1, 2, 3, 10, 100])
    made: dict[str, Any] = {"device": _mostly(rng, DEVICES, _BAD_DEVICES)}
    if rng.random() < 0.9:
        made["recorded_at"] = [_mostly(rng, _TIMES[:1], _BAD_TIMES, 0.005) for _ in range(length)]
    for name in rng.sample(_METRICS, rng.choice([1, 2])):
        count = length + (rng.choice([-1, 1]) if rng.random() < 0.05 else 0)
        made[name] = [_mostly(rng, _VALUES, _BAD_VALUES, 0.003) for _ in range(max(0, count))]
    if rng.random() < 0.05:
        made[rng.choice(string.ascii_letters)] = 1
    return made


def _dumped(rng: random.Random, made: Any) -> bytes:
    ascii_only = rng.random() < 0.7
    separators = rng.choice([(",", ":"), (", ", ": "), (" ,\n", "\t:")])
    return json.dumps(made, ensure_ascii=ascii_only, separators=separators).encode()
