"""The links of a process: one, or one for each node of a Redis Cluster."""

from __future__ import annotations

import asyncio
import functools
from typing import NamedTuple

from tributary.errors import TributaryError
from tributary.settings import Settings
from tributary.store import keys
from tributary.store.link import Link
from tributary.store.nodes import Nodes
from tributary.store.outage import Outage
from tributary.store.pipe import Pipe
from tributary.store.redis_url import seeds
from tributary.store.scripts import Script
from tributary.store.tail import Tail

_ASK_AGAIN_S = 0.2


class _Kept(NamedTuple):
    link: Link
    task: asyncio.Task[None]


class Links:
    """Partition → the link to the server that holds it; follows a cluster that changes."""

    def __init__(
        self,
        settings: Settings,
        scripts: tuple[Script, ...],
        name: str,
        tail: Tail | None = None,
    ) -> None:
        self._settings = settings
        self._tail = tail  # reported to each server before anything is appended there
        self._scripts = scripts
        self._name = name
        self._nodes = Nodes(settings.redis_url, settings.redis_timeout_ms)
        self._outage = Outage(name)
        self._kept: dict[str, _Kept] = {}
        self._urls: list[str] = []  # partition → the server that holds it
        # Until the nodes are known, a link that fails everything at once.
        self._links = [self._link(seeds(settings.redis_url)[0])] * settings.partitions

    def of(self, partition: int) -> Link:
        """The link of a partition."""
        return self._links[partition]

    @property
    def is_cluster(self) -> bool:
        """Whether the servers are nodes of a cluster: one command then reaches one partition."""
        return self._nodes.is_cluster

    @property
    def are_open(self) -> bool:
        """Whether every partition can be reached now."""
        return all(link.is_open for link in set(self._links))

    async def open(self) -> None:
        """Find the servers and connect to them, as far as they can be reached now."""
        try:
            await self._follow()
        except TributaryError as error:
            if not self._kept:  # else a link has told of this outage
                self._outage.begin(error)
        else:
            self._outage.end()

    async def keep(self) -> None:
        """Ask again who holds what whenever a link does not work, until cancelled."""
        try:
            while True:
                await asyncio.sleep(_ASK_AGAIN_S)
                if not self.are_open or any(link.is_misled for link in self._links):
                    await self.open()
        finally:
            for _, task in self._kept.values():
                task.cancel()

    async def _follow(self) -> None:
        partitions = range(self._settings.partitions)
        self._urls = await self._nodes.urls([keys.meta(partition) for partition in partitions])
        for url in set(self._urls) - self._kept.keys():
            link = self._link(url)
            await link.open()
            self._kept[url] = _Kept(link, asyncio.create_task(link.keep()))
        links = [self._kept[url].link for url in self._urls]
        for link in {new for old, new in zip(self._links, links, strict=True) if new is not old}:
            await link.greet()
        self._links = links
        for url in self._kept.keys() - set(self._urls):
            self._kept.pop(url).task.cancel()
        for link in self._links:
            link.is_misled = False

    async def _greet(self, url: str, pipe: Pipe) -> None:
        if self._tail is not None:
            held = [partition for partition, at in enumerate(self._urls) if at == url]
            await self._tail.report(pipe, held)

    def _link(self, url: str) -> Link:
        greet = functools.partial(self._greet, url)
        return Link(url, self._settings.redis_timeout_ms, self._scripts, self._name, greet)
