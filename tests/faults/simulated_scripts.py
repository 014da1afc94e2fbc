"""The scripts of Tributary, with the time and the ids of entries of a simulation."""

from __future__ import annotations

import functools
import hashlib

from tributary.store import scripts
from tributary.store.pipe import pack

_CLOCK_KEY = "simulated:clock"


def loads() -> list[bytes]:
    """The packed commands that load all scripts."""
    return [pack(("SCRIPT", "LOAD", _simulated(each.source))) for each in scripts.SCRIPTS.values()]


def with_clock(command: list[bytes], now_s: float) -> tuple[bytes, bytes]:
    """What sets the clock, and the call of a script that reads it; both packed."""
    now_us = int(now_s * 1e6)
    clock = f"{now_us // 1_000_000} {now_us % 1_000_000} {now_us // 1_000}"
    name, script, *rest = command
    changed = _digests()[script] if name == b"EVALSHA" else _simulated(script)
    return pack(("SET", _CLOCK_KEY, clock)), pack((name, changed, *rest))


@functools.cache
def _digests() -> dict[bytes, bytes]:
    """Digest of a script → that of the same script in the simulation."""
    return {
        script.sha.encode(): _sha(_simulated(script.source)).encode()
        for script in scripts.SCRIPTS.values()
    }


def _sha(source: bytes) -> str:
    return hashlib.sha1(source, usedforsecurity=False).hexdigest()


@functools.cache
def _simulated(source: bytes) -> bytes:
    clock = b"redis.call('GET', '%b')" % _CLOCK_KEY.encode()
    time = b"{string.match(%b, '(%%d+) (%%d+)')}" % clock
    id_ = b"(string.match(%b, '%%d+$') .. '-*')" % clock
    return source.replace(b"redis.call('TIME')", time).replace(b"'*'", id_)
