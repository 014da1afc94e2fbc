"""What the recorder does with messages, in the process of the test."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
import redis
from support.cluster import Cluster
from support.ledger import stored_metrics

from bridge.counts import Counts
from bridge.formats import Reader
from bridge.message import Message
from bridge.recorder import Recorder
from ingest.caps import Caps
from ingest.limits import Rules
from tributary.model import catalogue
from tributary.operate import bridges, status
from tributary.settings import Settings
from tributary.store import redis_client


def record(settings: Settings, client: redis.Redis, *messages: Message) -> dict[str, int]:
    """Record messages as one batch; the counts of all messages."""
    counts = Counts()
    reader = Reader(Rules(settings), catalogue.load(""), (), "")
    recorder = Recorder(settings, reader, Caps(settings), counts)

    async def run() -> None:
        await recorder.links.open()
        keeping = asyncio.create_task(recorder.links.keep())
        await recorder.record([*messages])
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await asyncio.sleep(0.01)  # for the loop to release closed connections

    asyncio.run(run())
    counts.flush(client)
    return bridges.messages(client)


def message(topic: str, text: str) -> Message:
    return Message(topic, text.encode(), 1_764_000_000_000, 1, 1)


def test_a_bug_does_not_block_the_other_messages(
    settings: Settings, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
):
    read = Reader.read

    def buggy(reader: Reader, given: Message) -> object:
        return read(reader, given) if given.topic != "car-1/speed" else 1 / 0

    monkeypatch.setattr(Reader, "read", buggy)
    found = record(settings, client, message("car-1/speed", "1"), message("car-2/speed", "2"))
    assert found == {"stored": 1, "refused:internal_error": 1}
    assert stored_metrics(client, settings) == {"car-2": {"speed": 2}}


def test_many_messages_are_one_entry_per_partition(settings: Settings, client: redis.Redis):
    several = [message(f"car-{n % 50}/speed", str(n)) for n in range(500)]
    assert record(settings, client, *several) == {"stored": 500}
    entries = sum(client.xlen(key) for key in client.scan_iter("*:readings"))
    assert entries <= settings.partitions


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server")
def test_a_message_for_several_nodes_of_a_cluster_counts_once(tmp_path: Path):
    cluster = Cluster(tmp_path, replicas=0)
    settings = Settings(redis_url=cluster.url)
    client = redis_client.connect(settings)
    try:
        redis_client.prepare(client, settings)
        batch = [{"device": f"car-{n}", "speed": n} for n in range(40)]
        first, again, other = (
            message("a/b", json.dumps(each)) for each in (batch, batch, [batch[0]])
        )
        first.key = again.key = other.key = "k"
        for each in (first, again, other):
            found = record(settings, client, each)
        assert found == {"stored": 1, "duplicate": 1, "refused:key_reused": 1}
        assert status.read(client, settings).accepted == 40
    finally:
        client.close()
        cluster.close()
