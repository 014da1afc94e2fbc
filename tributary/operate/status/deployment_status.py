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
from tributary.store import keys, scripts
from tributary.store.membership import MISSED_HEARTBEATS, owner
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


def with_stored_partitions(client: redis.Redis, settings: Settings) -> Settings:
    """The settings with the number of partitions that the data has.

    The environment of an operator's shell may name another number.
    """
    with failures():
        stored: Any = client.hget(keys.CONFIG, "partitions")
    if stored is None:
        return settings
    return msgspec.structs.replace(settings, partitions=int(stored))


def with_stored_settings(client: redis.Redis, settings: Settings) -> Settings:
    """The settings with those that the data was written with and that cannot change."""
    with failures():
        stored: Any = client.hgetall(keys.CONFIG)
    kept: dict[str, Any] = {
        name: convert(stored[name.encode()].decode())
        for name, convert in (("partitions", int), ("windows", str), ("average_over", int))
        if name.encode() in stored
    }
    return msgspec.structs.replace(settings, **kept)


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
    owners = [owner(p, ages_ms) for p in range(settings.partitions)] if ages_ms else []
    return [
        Aggregator(id_, [p for p, owner_ in enumerate(owners) if owner_ == id_], age_ms)
        for id_, age_ms in sorted(ages_ms.items())
    ]
