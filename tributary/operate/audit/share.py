"""The audit of some series of a partition, in pages of devices.

A page of devices is read in one transaction with `meta`, so it is of one moment: what was
applied by then is `hwm`, except for the rest of an entry that is begun. The stream is read up
to there before the page is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple, TypeVar

import msgspec
import redis

from tributary.history.raw_rows import RawRows
from tributary.history.schema import RESOLUTIONS
from tributary.model import reading
from tributary.model.aggregate import Layout
from tributary.model.rows import Shape
from tributary.operate.audit import aggregates, history_rows
from tributary.operate.audit.aggregates import SKEW_MS, Clock, Finding
from tributary.operate.audit.collection import Collection, Name
from tributary.operate.audit.entries import NEVER_MS, Entries, parsed
from tributary.operate.audit.history_rows import SERIES_PER_READ, HistoryReader, Span
from tributary.operate.audit.kept_since import KeptSince
from tributary.operate.audit.partition_lists import (
    compare_counts,
    listed_devices,
    unlisted_documents,
)
from tributary.operate.audit.raw_readings import RawReadings
from tributary.operate.audit.replay import META, Replay
from tributary.operate.audit.report import PartitionReport
from tributary.operate.audit.sequence import Sequence
from tributary.operate.forgetting import records
from tributary.store import keys, scripts
from tributary.store import series as stored_series
from tributary.store.redis_client import failures
from tributary.store.series import Packed

_PAGE_DEVICES = 100
T = TypeVar("T")


class Source(NamedTuple):
    """What is audited."""

    client: redis.Redis
    layout: Layout
    future_max_ms: int
    now_ms: Callable[[], int]
    values_max: int  # held in memory
    history: Callable[[int], HistoryReader] | None  # of a partition
    raw: Callable[[int], RawRows] | None = None  # of a partition


class Page(NamedTuple):
    """Stored values of some devices, of one moment."""

    meta: list[bytes | None]
    documents: dict[str, bytes | None]
    listed: dict[str, bool]  # whether a device is in the list of devices
    series: dict[Name, Packed]


class Share:
    """The series of a partition that `covers` accepts: their readings, and the comparison."""

    def __init__(  # noqa: PLR0913 (what is audited, and what of it)
        self,
        source: Source,
        partition: int,
        from_ms: int | None,
        covers: Callable[[Name], bool],
        *,
        is_first: bool,
        reports_files: bool = True,
    ) -> None:
        """The share; nothing is read yet.

        Args:
            source: of what is audited.
            partition: of these series.
            from_ms: when the first entry arrived that is read, UTC; None: as far as possible.
            covers: whether a series is in the share.
            is_first: whether to compare the documents, too, which name all series of a device.
            reports_files: whether a raw file that is missing or damaged is a difference.
        """
        self._source = source
        self._client = source.client
        self._shape = Shape(source.layout)
        self._partition = partition
        self._covers = covers
        self._is_first = is_first
        self._margin_ms = source.future_max_ms + SKEW_MS
        values_max = source.values_max if source.raw is None else source.values_max // 2
        self._collection = Collection(covers, values_max)
        entries = Entries(source.client, partition, from_ms)
        self._report = PartitionReport(partition)
        sequence = Sequence(self._add_of_partition)
        self._replay = Replay(source.client, entries, self._collection, self._margin_ms, sequence)
        self._history = None if source.history is None else source.history(partition)
        self._raw: RawReadings | None = None
        if source.raw is not None:
            self._raw = RawReadings(source.raw(partition), self._replay, covers, values_max)
        self._from_ms, self._reports_files = from_ms, reports_files
        self._unfinished: set[str] = set()  # devices that are being forgotten

    def audit(self, watch: Callable[[int, int], None]) -> PartitionReport:
        """Compare every series of the share.

        Raises:
            TooMany: they have more readings than may be held in memory.
            Unavailable: Redis is, or it has lost entries meanwhile.
        """
        with failures():
            total = int(self._client.xlen(keys.readings(self._partition)))
        self._replay.catch_up(self._meta(), lambda done: watch(min(done, total), total))
        if self._raw is not None:
            self._compare_raw(self._raw, lambda: watch(total, total))
        seen: set[str] = set()
        for devices in _pages(listed_devices(self._client, self._partition), _PAGE_DEVICES):
            self._compare(devices)
            seen.update(devices)
        others = chain(self._collection.devices, () if self._raw is None else self._raw.devices())
        unlisted = [device for device in dict.fromkeys(others) if device not in seen]
        for devices in _pages(unlisted, _PAGE_DEVICES):
            self._compare(devices)
        if self._is_first:
            self._compare_partition(seen.union(unlisted))
        self._report.entries = self._replay.entries_read
        self._report.readings = self._collection.values
        if (since_ms := self._replay.since_ms()) is not None:
            self._report.since = reading.rfc3339(since_ms)
        return self._report

    def _meta(self) -> list[bytes | None]:
        with failures():
            found: Any = self._client.hmget(keys.meta(self._partition), META)
        return list(found)

    def _compare_partition(self, seen: set[str]) -> None:
        """Compare the stream and the counts, and find documents of devices that do not exist."""
        compare_counts(self._client, self._partition, self._replay.sequence)
        for device in unlisted_documents(self._client, self._partition, seen):
            self._report.add((device, ""), Finding("latest", "", None, "a document"))

    def _add_of_partition(self, finding: Finding) -> None:
        if self._is_first:
            self._report.add(("", ""), finding)

    def _kept_since(self) -> KeptSince:
        with failures():
            found: Any = self._client.hgetall(keys.meta(self._partition))
        return KeptSince({name.decode(): value for name, value in found.items()}, self._margin_ms)

    def _compare(self, devices: list[str]) -> None:
        page = self._read(devices)
        self._replay.catch_up(page.meta)
        now = Clock(self._source.now_ms(), self._source.future_max_ms)
        kept = self._kept_since()  # behind the page: it may only have been moved on
        covered = {name: stored for name, stored in page.series.items() if self._covers(name)}
        for name, stored in covered.items():
            known = self._replay.known(name)
            clock = now._replace(windows_since_ms=kept.windows_ms(name[1]))
            self._add(name, *aggregates.compare(self._source.layout, stored, known, clock))
        for names in _pages(covered, SERIES_PER_READ):
            self._compare_history(names)
        self._report.series += len(covered)
        if self._is_first:
            self._compare_documents(page)
            self._report.devices += len(devices)

    def _compare_raw(self, raw: RawReadings, watch: Callable[[], None]) -> None:
        def catch_up() -> None:
            watch()
            self._replay.catch_up(self._meta())

        wrong = raw.read(self._from_ms, catch_up)
        if wrong is not None and self._reports_files:
            rows = f"{wrong.file.rows} rows"
            self._report.add(("", ""), Finding("raw", wrong.file.path, rows, wrong.problem))
        for name, finding in raw.differences():
            self._report.add(name, finding)
        self._report.raw_rows, self._report.surplus_rows = raw.compared, raw.surplus
        for record in records.read(self._client, (self._partition,)):
            self._unfinished.update(record.tombstone.devices)

    def _metrics_read(self, device: str) -> dict[str, None]:
        """The metrics of a device in the stream and in the raw files."""
        older = () if self._raw is None else self._raw.metrics(device)
        return dict.fromkeys(chain(self._collection.devices.get(device, {}), older))

    def _add(self, name: Name, findings: list[Finding], compared: int) -> None:
        self._report.slots += compared
        for finding in findings:
            self._report.add(name, finding)

    def _compare_history(self, names: list[Name]) -> None:
        """Compare rows with the readings up to the position of the history."""
        if self._history is None:
            return
        since_ms = self._history_since_ms()
        rows = self._history.read(names, since_ms)
        if rows is None:
            return
        self._report.history_entry = rows.entry_id
        if parsed(rows.entry_id) > self._replay.entries.last:
            self._replay.catch_up(self._meta())
        last = self._replay.entries.ordinal(rows.entry_id)
        is_ahead = parsed(rows.entry_id) > self._replay.entries.last
        restarted_ms = NEVER_MS if is_ahead else self._replay.restarted_ms()
        kept = self._kept_since()  # behind the rows
        raw = self._joined()  # not any more, if entries behind those that were read are gone
        if raw is not None and raw.includes_lost(rows.entry_id):
            restarted_ms = 0
        gap_ms = 0 if rows.gap_to_ms is None else rows.gap_to_ms + self._margin_ms
        for each in RESOLUTIONS:
            kept_ms = self._history.first_ms(each, self._source.now_ms())
            first_ms = max(since_ms, gap_ms, kept_ms)
            for name in names:
                span = Span(max(first_ms, kept.history_ms(name[1])), restarted_ms)
                if self._replay.is_forgotten_behind(name[0], last):
                    continue  # the readings of its rows are gone
                known = self._replay.known(name, last)
                if raw is not None and name[0] not in self._unfinished:
                    known = raw.joined(name, known, self._margin_ms)
                found = rows.slots[each.name].get(name, {})
                findings, compared, surplus = history_rows.compare(each, found, known, span)
                self._add(name, findings, compared)
                self._report.surplus_slots += surplus

    def _joined(self) -> RawReadings | None:
        """The rows of raw files, if they continue the readings of the stream into the past."""
        return self._raw if self._raw is not None and self._raw.is_joined else None

    def _history_since_ms(self) -> int:
        """The event time from which on the history can be compared; the report has it."""
        raw = self._joined()
        since_ms = self._replay.since_ms() if raw is None else raw.since_ms(self._margin_ms)
        if since_ms is not None:
            since = self._report.history_since, reading.rfc3339(since_ms)
            self._report.history_since = max(filter(None, since))
        return since_ms or 0

    def _compare_documents(self, page: Page) -> None:
        states: dict[str, dict[str, bytes | None]] = {device: {} for device in page.documents}
        for (device, metric), stored in page.series.items():
            states[device][metric] = stored.state
        for device, text in page.documents.items():
            found = aggregates.compare_document(self._source.layout, device, text, states[device])
            for metric, finding in found:
                self._report.add((device, metric), finding)
            if text is not None and not page.listed[device]:
                unlisted = Finding("devices", "", "the device", None)
                self._report.add((device, ""), unlisted)

    def _read(self, devices: list[str]) -> Page:
        """Read what is stored of the devices: of the metrics in their documents and readings."""
        partition = self._partition
        with failures():
            documents: Any = self._client.hmget(keys.latest(partition), devices)
        names = [
            (device, metric)
            for device, text in zip(devices, documents, strict=True)
            for metric in {**_metrics(text), **self._metrics_read(device)}
            if self._is_first or self._covers((device, metric))
        ]
        command = stored_series.command(self._shape, partition, names, devices=devices, fields=META)
        with failures():
            transaction = self._client.pipeline(transaction=True)
            transaction.execute_command(*scripts.with_source(command))  # type: ignore[no-untyped-call]
            transaction.zmscore(keys.devices(partition), devices)
            reply, scores = transaction.execute()
        found = stored_series.parse(self._shape, names, reply)
        return Page(
            found.fields,
            dict(zip(devices, found.documents, strict=True)),
            {device: score is not None for device, score in zip(devices, scores, strict=True)},
            dict(zip(names, found.series, strict=True)),
        )


def _metrics(text: bytes | None) -> dict[str, None]:
    """The metrics that a document names."""
    if text is None:
        return {}
    try:
        body = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return {n.removeprefix("current_"): None for n in body if n.startswith("current_")}


def _pages(items: Iterable[T], size: int) -> Iterator[list[T]]:
    left = iter(items)
    while page := list(islice(left, size)):
        yield page
