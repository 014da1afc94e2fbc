"""The connections of a process: one, or one to each node of a Redis Cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from tributary.errors import TributaryError
from tributary.settings import Settings
from tributary.store import keys
from tributary.store.link import Link
from tributary.store.outage import Outage
from tributary.store.pipe import OnReply, Pipe, Reply, pack
from tributary.store.redirects import Redirects
from tributary.store.redis_url import seeds, with_address
from tributary.store.scripts import Command
from tributary.store.tail import Tail
from tributary.store.topology import Nodes

_POLL_INTERVAL_S = 0.2


class Links:
    """Partition → the connection to the server that holds it; follows changes of a cluster."""

    def __init__(self, settings: Settings, name: str, tail: Tail | None = None) -> None:
        self._settings = settings
        self._tail = tail  # reported to each server before anything is appended there
        self._name = name
        self._nodes = Nodes(settings.redis_url, settings.redis_timeout_ms)
        self._outage = Outage(name)
        self._kept: dict[str, tuple[Link, asyncio.Task[None]]] = {}
        self._urls: list[str] = []  # partition → the server that holds it
        # Until the nodes are discovered, a link that is never opened.
        self._links = [self._link(seeds(settings.redis_url)[0])] * settings.partitions
        # A node that does not reply is waited for equally long.
        self.redirects = Redirects(settings.redis_timeout_ms / 1000, self.pipe, self._asked)

    def pipe(self, partition: int) -> Pipe:
        """The connection to the server that holds a partition now."""
        return self._links[partition].pipe

    def write(self, commands: Iterable[tuple[int, bytes, OnReply]]) -> None:
        """Send packed commands, each to the server of its partition, in one write per server."""
        by_pipe: dict[Pipe, list[tuple[bytes, OnReply]]] = {}
        for partition, command, on_reply in commands:
            by_pipe.setdefault(self._links[partition].pipe, []).append((command, on_reply))
        for pipe, several in by_pipe.items():
            pipe.write(several)

    async def call(
        self, commands: Iterable[tuple[int, Command]], *, asks: bool = True
    ) -> list[Reply]:
        """Send commands, each to the server of its partition, and wait for all replies.

        They are sent again while the slot of the partition moves; without `asks` only once it has.
        An error is returned as a value.
        """
        loop = asyncio.get_running_loop()
        replies: list[asyncio.Future[Reply]] = []
        for partition, command in commands:
            packed, reply = pack(command), loop.create_future()
            on_reply = self.redirects.on_reply(partition, packed, _setter(reply), asks=asks)
            self.pipe(partition).send(packed, on_reply)
            replies.append(reply)
        return await asyncio.gather(*replies)

    @property
    def is_cluster(self) -> bool:
        """Whether the servers are nodes of a cluster: one command then reaches one partition."""
        return self._nodes.is_cluster

    @property
    def are_open(self) -> bool:
        """Whether every partition can be reached now."""
        return all(link.pipe.is_open for link in set(self._links))

    async def open(self) -> None:
        """Discover the servers and connect to those that can be reached now."""
        try:
            await self._follow()
        except TributaryError as error:
            if not self._kept:  # else a link has logged this outage
                self._outage.begin(error)
        else:
            self._outage.end()

    async def keep(self) -> None:
        """Discover the servers again whenever a connection does not work, until cancelled."""
        try:
            while True:
                await self._nodes.pause(_POLL_INTERVAL_S)
                if not self.are_open or any(link.pipe.was_redirected for link in self._links):
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
            self._kept[url] = (link, asyncio.create_task(link.keep()))
        links = [self._kept[url][0] for url in self._urls]
        for link in {new for old, new in zip(self._links, links, strict=True) if new is not old}:
            await link.repeat_handshake()
        self._links = links
        for url in self._kept.keys() - set(self._urls):
            link, task = self._kept.pop(url)
            task.cancel()
            link.end_outage()  # another server has taken over
        for link in self._links:
            link.pipe.was_redirected = False

    def _asked(self, partition: int, ask: str) -> Pipe | None:
        """The connection to the node that an ASK names; None while there is none."""
        host, _, port = ask.split(" ")[2].rpartition(":")
        url = with_address(self._urls[partition], host, int(port))
        if url not in self._kept:  # it holds no partition yet
            link = self._link(url)
            self._kept[url] = (link, asyncio.create_task(link.keep()))
        pipe = self._kept[url][0].pipe
        return pipe if pipe.is_open else None

    def _link(self, url: str) -> Link:
        async def handshake(pipe: Pipe) -> None:
            await self._nodes.verify(pipe, url)
            if self._tail is not None:
                held = [partition for partition, at in enumerate(self._urls) if at == url]
                await self._tail.report(pipe, held)

        return Link(url, self._settings.redis_timeout_ms, self._name, handshake)


def _setter(future: asyncio.Future[Reply]) -> OnReply:
    def set_result(reply: Reply) -> None:
        if not future.done():  # else its caller was cancelled
            future.set_result(reply)

    return set_result
