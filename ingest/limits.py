"""What a form must know to judge a reading: limits and the names seen so far.

Names repeat, so each is checked once and then found in a dict: that is why these are
caches and not functions. Both are bounded, since names come from outside.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from numpy.typing import NDArray

from tributary.errors import Refused
from tributary.model import catalogue, reading
from tributary.model.frame import Block
from tributary.settings import Settings
from tributary.store import keys

_NAMES_KEPT_MAX = 100_000
_SEEN_MAX = 200_000  # single readings found in one look-up, some 250 bytes each
_SEEN_NAMES_MAX = 1_000_000  # in all of them: the metrics of one may come in any order


class Accepted(msgspec.Struct, gc=False):
    """Readings that keep every rule: blocks by partition, and how many readings they are."""

    blocks: dict[int, list[Block]]
    readings: int
    is_batch: bool
    is_known: bool = False  # one reading, found in `Rules.seen`
    # Index in the request of each reading, in the order of the blocks; None: the same order.
    order: Sequence[int] | NDArray[Any] | None = None


class Devices(dict[str, int]):
    """Device → partition; a name not seen before is checked on the way in."""

    def __init__(self, partitions: int) -> None:
        super().__init__()
        self._partitions = partitions

    def check(self, device: str) -> None:
        """Let a device pass that keeps the rule.

        Raises:
            Refused: 422 if it does not.
        """
        if device not in self:
            self.__missing__(device)

    def __missing__(self, device: str) -> int:
        if not reading.is_device(device):
            raise invalid_device(device)
        if len(self) >= _NAMES_KEPT_MAX:
            self.clear()
        partition = self[device] = keys.partition_of(device, self._partitions)
        return partition


class Metrics(set[str]):
    """Metric names found valid so far."""

    def check(self, names: Collection[str]) -> None:
        """Let names pass that keep the rule.

        Raises:
            Refused: 422, naming the first that does not.
        """
        if self.issuperset(names):
            return
        for name in names:  # in their order: that of a set differs from process to process
            if name not in self and not reading.is_metric(name):
                raise invalid_metric(name)
        if len(self) >= _NAMES_KEPT_MAX:
            self.clear()
        self.update(names)


class Rules:
    """Limits of one deployment, and the caches of names."""

    def __init__(self, settings: Settings) -> None:
        self.devices = Devices(settings.partitions)
        self.metrics = Metrics()
        # Device and metrics of single readings → partition; each is valid, and was counted as new.
        self.seen: dict[tuple[str, ...], int] = {}
        self._seen_names = 0
        self.future_max_ms = settings.future_max_ms
        self.body_max_bytes = settings.body_max_bytes
        self.batch_max_readings = settings.batch_max_readings
        # Empty unless what is not plausible is refused: then nothing is ever looked up in it.
        is_refused = settings.implausible == "refuse"
        self.ranges = catalogue.load(settings.metrics_file).ranges if is_refused else {}

    def remember(self, accepted: Accepted) -> None:
        """Find a single reading of this device and these metrics at once from now on."""
        for partition, [block] in accepted.blocks.items():
            if len(self.seen) >= _SEEN_MAX or self._seen_names >= _SEEN_NAMES_MAX:
                self.seen.clear()
                self._seen_names = 0
            self._seen_names += 1 + len(block.metrics)
            self.seen[str(block.device), *block.metrics] = partition

    def check_size(self, readings: int) -> None:
        """Refuse more readings than one request may carry (413), or none at all (400)."""
        if readings > self.batch_max_readings:
            raise Refused(
                f"{readings} readings in one request; send at most {self.batch_max_readings}",
                status=413,
                code="too_many_readings",
            )
        if readings == 0:
            raise Refused(
                "there is no reading in it; send at least one", status=400, code="no_readings"
            )


def invalid_device(device: str) -> Refused:
    """422 for a device that may not be called so."""
    return Refused(
        f"device {device!r:.140} is not a valid name; use {reading.DEVICE_RULE}",
        status=422,
        code="invalid_device",
        field="device",
    )


def invalid_metric(name: str) -> Refused:
    """422 for a metric that may not be called so."""
    return Refused(
        f"metric {name!r:.80} is not a valid name; use {reading.METRIC_RULE}",
        status=422,
        code="invalid_metric",
        field=name[:80],
    )
