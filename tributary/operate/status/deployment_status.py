"""Reads the status of a deployment: the sums of its partitions, its aggregators, its server.

Every function raises `Unavailable` while Redis cannot reply.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import redis
from msgspec import Meta

from tributary.operate.status import history as history_
from tributary.operate.status import jobs as jobs_
from tributary.operate.status import partition as partition_
from tributary.operate.status.described import described
from tributary.operate.status.history import HistoryStatus
from tributary.operate.status.jobs import Jobs
from tributary.operate.status.partition import Count, Partition
from tributary.operate.status.server import Server, Text
from tributary.settings import Settings
from tributary.store import scripts
from tributary.store.membership import MISSED_HEARTBEATS, owners
from tributary.store.redis_client import failures
from tributary.store.topology import servers


class Aggregator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An aggregator with a recent heartbeat, and the partitions it owns."""

    id: Text
    partitions: list[Count]
    heartbeat_age_ms: Annotated[int, described("time since its last heartbeat")]


class Status(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Counts of readings since the data was created, and the state of aggregators and server."""

    accepted: partition_.Accepted
    applied: partition_.Applied
    late: partition_.Late
    dead: partition_.Dead
    lost: partition_.Lost
    lost_at_restart: partition_.LostAtRestart
    pending: partition_.Pending
    missing: partition_.Missing
    refused: partition_.Refused
    lag_entries: Annotated[int, described("pending entries of all streams")]
    lag_s: partition_.LagSeconds
    devices: partition_.Devices
    series: partition_.Series
    history: HistoryStatus | None  # None: it is off
    aggregators: list[Aggregator]
    jobs: Annotated[Jobs | None, Meta(description="null if its Redis is unavailable or not set")]
    server: Server
    stream_max_entries: Annotated[int, described("maximum entries of a stream")]
    partitions: Annotated[list[Partition], Meta(min_length=1)]


_SUMS = {*Status.__struct_fields__} & {*Partition.__struct_fields__} - {"lag_s", "history"}


def read(client: redis.Redis, settings: Settings) -> Status:
    """Read the status of a deployment.

    accepted = applied + late + dead + lost + pending at any time: each partition is read
    atomically, and the sums are those of the partitions listed.
    """
    with failures():
        pipeline = client.pipeline(transaction=False)
        for number in range(settings.partitions):
            partition_.request(pipeline, number)
        replies = pipeline.execute()
        server = Server.from_nodes(servers(client))
    partitions = [
        partition_.parse(number, reply, settings.history) for number, reply in enumerate(replies)
    ]
    histories = [partition.history for partition in partitions if partition.history]
    return Status(
        **{name: sum(getattr(p, name) for p in partitions) for name in _SUMS},
        lag_entries=sum(p.entries.pending for p in partitions),
        lag_s=max(p.lag_s for p in partitions),
        history=history_.total(histories) if histories else None,
        aggregators=aggregators_alive(client, settings),
        jobs=jobs_.of_deployment(client, settings),
        server=server,
        stream_max_entries=settings.stream_max_entries,
        partitions=partitions,
    )


def aggregators_alive(client: redis.Redis, settings: Settings) -> list[Aggregator]:
    """List the aggregators with a recent heartbeat, by id."""
    with failures():
        reply: Any = scripts.run(client, scripts.alive())
    max_age_ms = MISSED_HEARTBEATS * settings.heartbeat_ms
    ages_ms = {
        id_.decode(): int(age)
        for id_, age in zip(reply[::2], reply[1::2], strict=True)
        if int(age) <= max_age_ms
    }
    owner_of = owners(ages_ms, settings.partitions)
    return [
        Aggregator(id_, [p for p, owner in enumerate(owner_of) if owner == id_], age_ms)
        for id_, age_ms in sorted(ages_ms.items())
    ]
