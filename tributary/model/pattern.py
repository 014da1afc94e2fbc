"""Patterns of device names: `*` stands for any characters, also none. Pure."""

from __future__ import annotations

import re

ANY = "*"  # the pattern of every device
PATTERN = r"[A-Za-z0-9._:/*-]{1,128}"
RULE = "A-Z a-z 0-9 . _ : / - and * for any characters"

_PATTERN = re.compile(PATTERN)


def is_pattern(text: str) -> bool:
    """Whether this is a valid pattern."""
    return _PATTERN.fullmatch(text) is not None


def compiled(pattern: str) -> re.Pattern[str]:
    """The regular expression whose `fullmatch` finds the names that a pattern covers.

    What stands between two `*` is matched at its first occurrence only, which finds every name
    and needs no backtracking: the time is bounded also for a pattern of a client.
    """
    first, *others = map(re.escape, pattern.split(ANY))
    if not others:
        return re.compile(first)
    *middle, last = others
    parts = "".join(f"(?>.*?{part})" for part in middle if part)
    return re.compile(f"{first}{parts}.*{last}", re.DOTALL)


def overlap(one: str, other: str) -> bool:
    """Whether there is a name that both patterns cover.

    Follows `one` from the left with the set of positions in `other` that a common name can reach.
    """
    reached = _closed(other, {0})
    for character in one:
        if character == ANY:
            reached = set(range(min(reached), len(other) + 1))
        else:
            steps = {at if other[at] == ANY else at + 1 for at in reached - {len(other)}
                     if other[at] in (ANY, character)}  # fmt: skip
            reached = _closed(other, steps)
        if not reached:
            return False
    return len(other) in reached


def _closed(pattern: str, reached: set[int]) -> set[int]:
    """The positions, and those behind each `*` among them, which may stand for nothing."""
    for at in range(min(reached, default=len(pattern)), len(pattern)):
        if at in reached and pattern[at] == ANY:
            reached.add(at + 1)
    return reached
