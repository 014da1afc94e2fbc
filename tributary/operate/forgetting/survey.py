"""Counts what there is of devices before they are forgotten."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import redis

from tributary.operate.forgetting import entries, history_rows
from tributary.settings import Settings
from tributary.store import keys
from tributary.store.redis_client import failures


class Found(msgspec.Struct):
    """What there is of some devices."""

    devices: int = 0  # that were named
    with_aggregates: int = 0
    series: int = 0
    stream_readings: int = 0  # of them in the streams
    stream_entries: int = 0  # that contain these
    readings_of_others: int = 0  # in the same entries
    dead_entries: int = 0
    history_slots: int = 0


def survey(client: redis.Redis, settings: Settings, names: Sequence[str]) -> Found:
    """Count it; reads every entry of the streams that the devices are in."""
    found = Found(devices=len(names))
    by_partition: dict[int, list[str]] = {}
    for name in names:
        partition = keys.partition_of(name, settings.partitions)
        by_partition.setdefault(partition, []).append(name)
    for partition, several in by_partition.items():
        _aggregates(client, partition, several, found)
        devices = frozenset(several)
        for entry in entries.read(client, partition):
            if not entry.is_tombstone and entry.names(devices):
                found.stream_entries += 1
                others = entry.others(devices)
                found.readings_of_others += others
                found.stream_readings += sum(entry.readings.values()) - others
        for _, fields in entries.pages(client, keys.dead(partition)):
            _, entry = entries.buried(dict(zip(fields[0::2], fields[1::2], strict=True)))
            found.dead_entries += entry.names(devices)
    with history_rows.opened(settings) as db:
        if db is not None:
            found.history_slots = history_rows.count(db, names)
    return found


def _aggregates(client: redis.Redis, partition: int, names: list[str], found: Found) -> None:
    for first in range(0, len(names), 1_000):
        with failures():
            documents = client.hmget(keys.latest(partition), names[first : first + 1_000])
        for text in documents:
            if text is not None:
                found.with_aggregates += 1
                body = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
                found.series += sum(name.startswith("current_") for name in body)
