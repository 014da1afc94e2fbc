"""Topic filters of MQTT 5.0 (section 4.7), and names made of the levels of a topic. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

BYTES_MAX = 65_535
_LEVEL = re.compile(r"\{(\d{1,3})(-?)\}")


def problem(filter_: str) -> str | None:
    """Why this is not a valid topic filter, or None if it is."""
    if not filter_ or "\0" in filter_ or len(filter_.encode("utf-8", "replace")) > BYTES_MAX:
        return "is empty, has a NUL character, or has more than 65,535 bytes"
    levels = filter_.split("/")
    if any("#" in level for level in levels[:-1]) or "#" in levels[-1] != "#":
        return "has a # that is not the whole last level"
    if any("+" in level and level != "+" for level in levels):
        return "has a + that is not a whole level"
    if levels[0] == "$share":
        return "begins with $share; give the name of the group with --share"
    return None


def matches(filter_: Sequence[str], topic: Sequence[str]) -> bool:
    """Whether the levels of a filter match those of a topic."""
    if topic[0].startswith("$") and filter_[0] in ("+", "#"):
        return False
    for number, level in enumerate(filter_):
        if level == "#":
            return True
        if number >= len(topic) or level not in ("+", topic[number]):
            return False
    return len(topic) == len(filter_)


def overlap(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether a topic may match both filters."""
    if not a or not b:
        rest = a or b
        return not rest or rest[0] == "#"
    if "#" in (a[0], b[0]):
        return True
    return (a[0] == b[0] or "+" in (a[0], b[0])) and overlap(a[1:], b[1:])


def covers(wide: Sequence[str], narrow: Sequence[str]) -> bool:
    """Whether every topic that matches `narrow` also matches `wide`."""
    if not wide or not narrow:
        return not narrow and (not wide or wide[0] == "#")
    if wide[0] == "#":
        return True
    return narrow[0] != "#" and wide[0] in ("+", narrow[0]) and covers(wide[1:], narrow[1:])


def without_overlap(filters: Iterable[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The filters that none of the others covers, and the pairs that overlap in part.

    A broker may send a message once for each of several filters that match its topic.
    """
    distinct = list(dict.fromkeys(filters))
    split = {each: each.split("/") for each in distinct}
    kept = [
        each
        for each in distinct
        if not any(other != each and covers(split[other], split[each]) for other in distinct)
    ]
    pairs = [
        (one, two)
        for number, one in enumerate(kept)
        for two in kept[number + 1 :]
        if overlap(split[one], split[two])
    ]
    return kept, pairs


def pattern_problem(pattern: str, filter_: str) -> str | None:
    """Why a pattern cannot be filled from the topics of a filter, or None if it can."""
    levels = filter_.split("/")
    fixed = len(levels) - (levels[-1] == "#")
    if "{" in _LEVEL.sub("", pattern) or "}" in _LEVEL.sub("", pattern):
        return "write {1} for the first level of the topic, {2-} for the second and all after it"
    for number, rest in _LEVEL.findall(pattern):
        if not 1 <= int(number) <= fixed + bool(rest and levels[-1] == "#"):
            return f"the topics of {filter_!r} have no certain level {number}"
    return None


def fill(pattern: str, levels: Sequence[str]) -> str:
    """A pattern with the levels of a topic: `{1}` is the first, `{2-}` the second and the rest."""

    def value(match: re.Match[str]) -> str:
        first = int(match[1]) - 1
        return "/".join(levels[first:]) if match[2] else levels[first]

    return _LEVEL.sub(value, pattern)
