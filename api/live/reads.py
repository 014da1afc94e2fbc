"""Reads of the hub for all listeners at once, on the connections of `/collect`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from api.live.listener import every_device
from api.live.subscription import Page
from tributary.model import alert
from tributary.model.alert import Transition
from tributary.store import keys
from tributary.store.links import Links
from tributary.store.pipe import checked

TRANSITIONS_MAX = 1_000
_STEP, _STEPS_MAX = 1000, 50  # names read per step for a token that covers few devices


class Reads:
    """Every method raises `Unavailable` if Redis does not reply."""

    def __init__(self, links: Links, partitions: int) -> None:
        self._links = links
        self._partitions = range(partitions)

    async def heads(self) -> tuple[list[bytes | None], list[int]]:
        """Of each partition a token that every commit changes, and how many transitions it logged."""
        commands = [(p, ("HMGET", keys.meta(p), "epoch", "transitions")) for p in self._partitions]
        replies = list(map(checked, await self._links.call(commands)))
        return [epoch for epoch, _ in replies], [int(number or 0) for _, number in replies]

    async def transitions(self, after: Mapping[int, int]) -> list[Transition]:
        """The transitions of alerts behind a number, by partition; at most `TRANSITIONS_MAX` each."""
        limited = ("+inf", "BYSCORE", "LIMIT", "0", str(TRANSITIONS_MAX))
        commands = [
            (p, ("ZRANGE", keys.transitions(p), f"({n}", *limited)) for p, n in after.items()
        ]
        replies = map(checked, await self._links.call(commands))
        return [alert.parse_transition(member) for reply in replies for member in reply]

    async def latest(self, devices: Mapping[int, list[str]]) -> dict[str, bytes | None]:
        """The stored documents of devices, which are given by partition; one HMGET for each."""
        commands = [(p, ("HMGET", keys.latest(p), *names)) for p, names in devices.items()]
        found: dict[str, bytes | None] = {}
        for names, reply in zip(devices.values(), await self._links.call(commands), strict=True):
            found.update(zip(names, checked(reply), strict=True))
        return found

    async def page(self, page: Page, covers: Callable[[str], bool]) -> frozenset[str]:
        """The devices that are on a page now and for which `covers` is true.

        A token that covers few of many devices may get less than a page: the search is bounded.
        """
        found: list[str] = []
        first, last = b"[" + page.prefix.encode(), b"(" + page.prefix.encode() + b"\xff"
        if page.after >= page.prefix and page.after:
            first = b"(" + page.after.encode()
        step = page.limit if covers is every_device else _STEP
        for _ in range(_STEPS_MAX):
            names = await self._names(first, last, step)
            found += filter(covers, (name.decode() for name in names))
            if len(found) >= page.limit or len(names) < step:
                break
            first = b"(" + names[-1]
        return frozenset(found[: page.limit])

    async def _names(self, first: bytes, last: bytes, limit: int) -> list[bytes]:
        limited = (first, last, "LIMIT", "0", str(limit))
        commands = [(p, ("ZRANGEBYLEX", keys.devices(p), *limited)) for p in self._partitions]
        replies = map(checked, await self._links.call(commands))
        return sorted(name for reply in replies for name in reply)[:limit]
