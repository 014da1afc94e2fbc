"""Which releases of the server have the security fixes that are known to this version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

VALKEY = (9, 1, 2)  # what `tributary up` embeds
# Series → its first release with the known fixes of scripts, RESTORE and TLS.
REDIS: dict[tuple[int, ...], int] = {
    (7, 4): 11,
    (8, 2): 9,
    (8, 4): 6,
    (8, 6): 6,
    (8, 8): 2,
    (8, 10): 1,
}
# Its number does not change with the fixes of Debian 12.
DEBIAN, DEBIAN_PACKAGE = (7, 0, 15), "7.0.15-1~deb12u10"


def lacks(info: Mapping[str, Any]) -> str:
    """What to do about the release that INFO reports; empty if nothing is known to be missing."""
    is_valkey = "valkey_version" in info
    version = str(info.get("valkey_version" if is_valkey else "redis_version", ""))
    numbers = tuple(map(int, re.findall(r"\d+", version)[:3]))
    if len(numbers) < 3:
        return f"its version is {version!r}, so its security fixes are unknown"
    if is_valkey:
        if numbers >= VALKEY:
            return ""
        return f"it is older than {_text(VALKEY)}; check its release notes for security fixes"
    patch = REDIS.get(numbers[:2])
    if patch is not None and numbers[2] < patch:
        wanted = _text((*numbers[:2], patch))
        return f"it lacks security fixes; install Redis {wanted} or later"
    if patch is not None or numbers == DEBIAN or numbers[:2] > max(REDIS):
        return ""
    newest = _text((*max(REDIS), REDIS[max(REDIS)]))
    return f"no release of its series is known to have all security fixes; install Redis {newest}"


def note(info: Mapping[str, Any]) -> str:
    """What to check by hand, which the version does not show."""
    if "valkey_version" not in info and info.get("redis_version") == _text(DEBIAN):
        return f"on Debian 12, its package must be {DEBIAN_PACKAGE} or later (dpkg -s redis-server)"
    return "check its release notes for security fixes"


def _text(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
