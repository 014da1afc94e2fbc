"""The stream of a partition, read behind a position in bounded pieces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import redis

from aggregator.account import Progress
from aggregator.decode import Entry
from jobs.piece import Numbers
from tributary.history.position import Position
from tributary.operate.forgetting import records
from tributary.store import keys, topology
from tributary.store.redis_client import failures

# A piece ends with the page that reaches one of these.
PIECE_ENTRIES = 10_000
PIECE_BYTES = 8_388_608
# Entries are as large as their senders make them, so a page that follows small ones may exceed
# the size aimed at, by at most this number of entries.
PAGE_ENTRIES = 256
_PAGE_BYTES = 1_048_576
_FIRST_PAGE_ENTRIES = 16
_PUBLISHED = ("archived_id", "archived_entries", "gaps", "gap_entries", "gap_readings")
_META = ("hwm", "progress", "done_entries", "done", "tail_entries", "tail", *_PUBLISHED)


class Extent(NamedTuple):
    """How far the aggregators are: the fate of every entry up to there is decided."""

    last: str  # the last entry, as the end of XRANGE
    done: Numbers | None  # the numbers there; None: an entry before `hwm` is not decided yet
    survived: Numbers  # numbers that survived the last start of the server
    buried: dict[bytes, int]  # how many readings of an entry are applied, if not all
    published: tuple[str, ...]  # what the last job published: position and gaps


class PartitionStream:
    """The stream of one partition.

    Every method raises a `TributaryError` if Redis does not reply or denies a command.
    """

    def __init__(self, client: redis.Redis, partition: int) -> None:
        """`client`: of the server or cluster."""
        with failures():
            server = topology.server_of(client, keys.meta(partition))
        self._client = redis.Redis(connection_pool=server.connection_pool)
        self._partition = partition
        # As the server sends it, since a dictionary would hide fields that appear twice.
        self._client.set_response_callback("XRANGE", lambda reply, **_: reply)

    def extent(self) -> Extent:
        """Read how far the aggregators are.

        Entries that are buried later are behind `last`, so this is read before any entry.
        """
        with failures():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.hmget(keys.meta(self._partition), *_META)
            pipeline.zrange(keys.buried(self._partition), 0, -1)
            values, members = pipeline.execute()
        meta = {name: (value or b"").decode() for name, value in zip(_META, values, strict=True)}
        progress = Progress.parse(meta["progress"].encode())
        buried = dict(member.split() for member in members)
        return Extent(
            (meta["hwm"] or "0-0") if progress is None else f"({progress.id.decode()}",
            _numbers(meta, "done_entries", "done") if progress is None else None,
            _numbers(meta, "tail_entries", "tail"),
            {id_: int(applied) for id_, applied in buried.items()},
            tuple(meta[name] for name in _PUBLISHED),
        )

    def read(self, after: str, last: str) -> tuple[list[Entry], bool]:
        """The entries of a piece behind `after`, and whether it ends with the last one."""
        entries: list[Entry] = []
        size_bytes, count = 0, _FIRST_PAGE_ENTRIES
        while len(entries) < PIECE_ENTRIES and size_bytes < PIECE_BYTES:
            page = self._page(after, last, count)
            entries += page
            if len(page) < count:
                return entries, True
            page_bytes = sum(len(fields[-1]) for _, fields in page if fields)
            size_bytes += page_bytes
            after = page[-1][0].decode()
            fitting = _PAGE_BYTES * len(page) // max(1, page_bytes)
            count = max(1, min(PAGE_ENTRIES, 4 * count, fitting))
        return entries, False

    def forgotten(self) -> dict[str, tuple[str, ...]]:
        """The devices that each tombstone has removed from the aggregates, by entry."""
        return records.forgotten(self._client, self._partition)

    def publish(self, figures: tuple[str, ...]) -> None:
        """Publish what `Extent.published` is, for ingest and the status."""
        with failures():
            mapping = dict(zip(_PUBLISHED, figures, strict=True))
            self._client.hset(keys.meta(self._partition), mapping=mapping)  # type: ignore[arg-type]

    def note_left_out(self, metrics: Iterable[str], position: Position) -> None:
        """Publish that the history lacks readings of metrics up to a position, for the audit."""
        fields: Any = {keys.left_out(metric): position.entry_id for metric in metrics}
        if fields:
            with failures():
                self._client.hset(keys.meta(self._partition), mapping=fields)

    def _page(self, after: str, last: str, count: int) -> list[Entry]:
        with failures():
            found: Any = self._client.execute_command(  # type: ignore[no-untyped-call]
                "XRANGE", keys.readings(self._partition), f"({after}", last, "COUNT", str(count)
            )
        return [(id_, fields) for id_, fields in found or ()]


def _numbers(meta: dict[str, str], entries: str, readings: str) -> Numbers:
    return Numbers(int(meta[entries] or 0), int(meta[readings] or 0))
