"""The rules for readings: limits, and caches of valid names.

Names repeat, so each is validated once and then found in a dict or set. The caches are bounded,
since clients choose the names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import chain
from typing import Any

from ingest.batch import Batch
from tributary.errors import Refused
from tributary.model import catalogue, reading
from tributary.model.frame import Block
from tributary.settings import Settings
from tributary.store import keys

_NAMES_MAX = 100_000
_SEEN_MAX = 200_000  # devices with their metrics, some 250 bytes each
_SEEN_NAMES_MAX = 1_000_000  # in total: clients may permute the metrics of a reading


class Devices(dict[str, int]):
    """Partitions by device; a new name is validated when it is looked up."""

    def __init__(self, partitions: int) -> None:
        super().__init__()
        self._partitions = partitions

    def check(self, device: str) -> None:
        """Validate the name of a device; raises 422."""
        if device not in self:
            self.__missing__(device)

    def __missing__(self, device: str) -> int:
        if not reading.is_device(device):
            raise invalid_device(device)
        if len(self) >= _NAMES_MAX:
            self.clear()
        partition = self[device] = keys.partition_of(device, self._partitions)
        return partition


class Metrics(set[str]):
    """Valid metric names."""

    def check(self, names: Collection[str]) -> None:
        """Validate the names of metrics; raises 422 for the first invalid one."""
        if self.issuperset(names):
            return
        for name in names:  # in order, so that every process reports the same one
            if name not in self and not reading.is_metric(name):
                raise invalid_metric(name)
        if len(self) >= _NAMES_MAX:
            self.clear()
        self.update(names)


class Rules:
    """The limits of a deployment, and the caches of one process."""

    def __init__(self, settings: Settings) -> None:
        self.devices = Devices(settings.partitions)
        self.metrics = Metrics()
        # Device and metrics of single readings → partition; valid, and already counted as new.
        self.seen: dict[tuple[str, ...], int] = {}
        self._seen_names = 0
        # Line protocol, bounded in doors/influx/cache.py: what heads say, metrics of fields.
        self.heads: Any = None
        self.shapes: dict[tuple[str, tuple[bytes, ...]], tuple[str, ...]] = {}
        self.future_max_ms = settings.future_max_ms
        self.oldest_ms = reading.time_ms(settings.oldest_time)
        self.body_max_bytes = settings.body_max_bytes
        self.batch_max_readings = settings.batch_max_readings
        metrics = catalogue.load(settings.metrics_file)
        self.units = metrics.units
        # Empty unless implausible values are rejected, so that nothing is looked up.
        is_refused = settings.implausible == "refuse"
        self.ranges = metrics.ranges if is_refused else {}

    def collect(self, blocks: list[tuple[int, Block]], *, is_batch: bool) -> Batch:
        """A batch of single readings, each with its index in the request."""
        by_partition: dict[int, list[Block]] = {}
        order: dict[int, list[int]] = {}
        for index, block in blocks:
            partition = self.devices[str(block.device)]
            by_partition.setdefault(partition, []).append(block)
            order.setdefault(partition, []).append(index)
        indices = [*chain(*order.values())]
        return Batch(by_partition, len(blocks), is_batch, order=indices)

    def remember(self, batch: Batch) -> None:
        """Cache the device and metrics of a single reading: the next one takes one lookup."""
        for partition, [block] in batch.blocks.items():
            if len(self.seen) >= _SEEN_MAX or self._seen_names >= _SEEN_NAMES_MAX:
                self.seen.clear()
                self._seen_names = 0
            self._seen_names += 1 + len(block.metrics)
            self.seen[str(block.device), *block.metrics] = partition

    def forget(self, shapes: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        """Forget that devices with these metrics were counted as new."""
        for device, metrics in shapes:
            self.seen.pop((device, *metrics), None)
        if self.heads is not None:
            self.heads.known.clear()

    def check_size(self, readings: int) -> None:
        """Reject a request with too many readings (413) or none (400)."""
        if readings > self.batch_max_readings:
            raise Refused(
                f"{readings} readings in one request; send at most {self.batch_max_readings}",
                status=413,
                code="too_many_readings",
            )
        if readings == 0:
            raise Refused(
                "the request contains no readings; send at least one",
                status=400,
                code="no_readings",
            )


def invalid_device(device: object) -> Refused:
    """422 for an invalid device, with the nearest valid name."""
    valid = reading.valid_device(device) if isinstance(device, str) else ""
    hint = f"; did you mean {valid!r}?" if valid else ""
    return Refused(
        f"device {device!r:.140} is not a valid name; use {reading.DEVICE_RULE}{hint}",
        status=422,
        code="invalid_device",
        field="device",
    )


def invalid_metric(name: str) -> Refused:
    """422 for an invalid metric."""
    if (known := reading.reserved(name)) is not None:
        what = "device" if known in reading.DEVICE_FIELDS else "time"
        return Refused(
            f"{name!r:.80} is not a metric; rename it, or did you mean {known!r}, the {what} of "
            "the reading?",
            status=422,
            code="reserved_name",
            field=name[:80],
        )
    return Refused(
        f"metric {name!r:.80} is not a valid name; use {reading.METRIC_RULE}",
        status=422,
        code="invalid_metric",
        field=name[:80],
    )
