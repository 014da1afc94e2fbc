"""Redis drops the script of a commit: what is sent behind it is not executed before it."""

from __future__ import annotations

import asyncio
import random

from support.folding import append_frame
from support.owners import Owner
from support.processes import Server

from tributary.errors import TributaryError
from tributary.model.frame import Block, pack
from tributary.store import keys


def test_a_commit_is_not_executed_after_a_read_that_follows_it(server: Server):
    client = server.client
    client.flushall()

    def append(value: float) -> None:
        append_frame(client, 0, pack([Block("kept", 1, {"m": value})]), 1)

    async def arrived(owner: Owner) -> None:
        async with asyncio.timeout(10):
            while not any(work.is_left for work in owner.held):
                await asyncio.sleep(0.001)

    async def committed(owner: Owner) -> object:
        """Fold and commit an entry, and read what it has changed right behind it."""
        await arrived(owner)
        changes = await owner.fold()
        assert changes is not None
        assert owner.tenure is not None
        owner.commit(changes)
        return await owner.tenure.pipe.request("HGET", keys.rows(0), "kept|total")

    async def check() -> None:
        owner = Owner(server.url, "w", random.Random(0))
        await owner.begin()
        append(0.0)
        assert await committed(owner) == b"1"
        append(1.0)
        await arrived(owner)
        client.script_flush()
        seen = await committed(owner)
        assert owner.tenure is not None
        reason = await owner.tenure.reason()
        assert isinstance(reason, TributaryError)
        assert "NOSCRIPT" in str(reason)
        assert seen == b"1" or isinstance(seen, TributaryError)
        assert client.hget(keys.rows(0), "kept|total") == b"1"  # nothing came later
        owner.end()
        await owner.begin()
        assert await committed(owner) == b"2"
        owner.end()

    asyncio.run(check())
