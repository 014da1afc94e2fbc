"""Which releases of the server have the security fixes that are known to this version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

VALKEY = (9, 1, 2)  # what `tributary up` embeds
# Series → the release with the fixes of scripts, RESTORE and TLS published until October 2026.
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
        wanted = "" if numbers >= VALKEY else f"Valkey {_text(VALKEY)} or later"
    elif numbers[:2] in REDIS:
        patch = REDIS[numbers[:2]]
        wanted = "" if numbers[2] >= patch else f"Redis {_text((*numbers[:2], patch))} or later"
    elif numbers == DEBIAN or numbers[:2] > max(REDIS):
        wanted = ""
    else:
        wanted = f"a series with fixes, such as Redis {_text((8, 10, 1))}"
    return f"it lacks security fixes; install {wanted}" if wanted else ""


def note(info: Mapping[str, Any]) -> str:
    """What to check by hand, which the version does not show."""
    if "valkey_version" not in info and info.get("redis_version") == _text(DEBIAN):
        return f"on Debian 12, its package must be {DEBIAN_PACKAGE} or later (dpkg -s redis-server)"
    return "check its release notes for security fixes"


def _text(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
