"""Caps on the number of series and devices; at a cap, only readings of known series are accepted.

Below 90 % of a cap nothing is looked up: the totals are read from Redis once per second, and what
this process has seen for the first time since then is added. Above it, and always for a token
with its own cap, the series of each request are looked up, first in a cache of those that exist,
then in Redis. The room left is the cap minus the total in Redis and minus what this process
admitted since.

Each pair of a device and a metric that is new to this process counts as soon as it is admitted.
Near a cap, a single HTTP process is exact. A process learns what others admitted, or what it
admitted before a restart, when that is applied: several processes can exceed a cap by at most
what the others admit within the lag. Existing series that are new to this process take room for
about one second.
Requests and the refreshing thread share the counts under a lock that is never held while
waiting for Redis.
"""

from __future__ import annotations

import math
import threading
from typing import Any, NamedTuple

import redis

from ingest import unapplied
from ingest.batch import Batch
from ingest.new_series import NewSeries
from ingest.series import Lookup, devices_of, without
from ingest.unapplied import Unapplied
from tributary.auth.tokens import Token
from tributary.errors import Refused
from tributary.settings import Settings
from tributary.store import keys
from tributary.store.redis_client import failures

_NEAR = 0.9  # of a cap
_TOTALS = 4  # replies per partition
_EXISTING_MAX = 200_000  # series, about 100 bytes each


class _Room(NamedTuple):
    """The number of devices and series that may be added."""

    token: str  # its id; empty for the whole deployment
    devices: float  # infinite without a cap
    series: float

    def exceeded(self, devices: int, series: int) -> str | None:
        """The kind of cap that this many new ones would exceed, or None."""
        if series > self.series:
            return "series"
        # Without a new device, it does not matter that room is negative until the next refresh.
        return "devices" if devices and devices > self.devices else None


class Caps:
    """The caps as one process sees them; call `refresh` about once per second."""

    def __init__(self, settings: Settings) -> None:
        self._partitions = settings.partitions
        self._series_max = settings.series_max
        self._devices_max = settings.devices_max
        self._series = self._devices = 0
        self._use: dict[str, int] = {}  # series and devices of tokens with a cap
        self._existing: set[tuple[str, str]] = set()
        self._forgets = 0  # tombstones applied: forgotten series do not exist any more
        self._unapplied = Unapplied()
        self._not_counted: dict[str, int] = {}  # use that is not in Redis yet
        self._lock = threading.Lock()
        self.is_near = False  # whether the caps of the deployment are near

    def refresh(self, client: redis.Redis) -> None:
        """Read the totals, and write the use of tokens with a cap; if it fails, keep the totals."""
        with self._lock:
            used = dict(self._not_counted)
            unchecked = self._unapplied.take_unchecked() if self.is_near else []
        existing = unapplied.check(client, unchecked, self._partitions)  # before the totals
        totals, use = self._read(client, used)
        with self._lock:
            self._use = {name.decode(): int(count) for name, count in use.items()}
            for name, count in used.items():
                self._not_counted[name] -= count
            self._not_counted = {n: count for n, count in self._not_counted.items() if count}
            in_format_2, in_rows, devices = (sum(totals[n::_TOTALS]) for n in (1, 2, 3))
            self._series, self._devices = in_format_2 + in_rows, devices
            forgets = sum(int(counts[3] or 0) for counts in totals[0::_TOTALS])
            if forgets != self._forgets:
                self._forgets = forgets
                self._existing.clear()
            self._unapplied.subtract(existing)
            self._unapplied.end_second([_applied(counts) for counts in totals[0::_TOTALS]])
            self.is_near = self._is_near(0, 0)

    def _read(self, client: redis.Redis, used: dict[str, int]) -> tuple[list[Any], dict[Any, Any]]:
        """The totals of each partition, and the use of all tokens after adding `used`."""
        partitions = self._partitions if self._series_max or self._devices_max else 0
        with failures():
            pipeline = client.pipeline(transaction=False)
            for partition in range(partitions):
                pipeline.hmget(
                    keys.meta(partition), "entries", "done_entries", "begun_entry", "forgets"
                )
                pipeline.hlen(keys.state(partition))
                pipeline.hlen(keys.rows(partition))
                pipeline.zcard(keys.devices(partition))
            for name, count in used.items():
                pipeline.hincrby(keys.TOKEN_USE, name, count)
            pipeline.hgetall(keys.TOKEN_USE)
            *totals, use = pipeline.execute()
        return totals[: partitions * _TOTALS], use

    def _is_near(self, series: int, devices: int) -> bool:
        """Whether a cap is near if these are added."""
        return (
            self._series_now() + series >= self._series_max * _NEAR > 0
            or self._devices_now() + devices >= self._devices_max * _NEAR > 0
        )

    def add(self, new: NewSeries) -> None:
        """Count series that may be new; near a cap they are looked up instead."""
        with self._lock:
            self.is_near = self.is_near or self._is_near(new.series, new.devices)
            if not self.is_near:
                self._unapplied.add_unchecked(new)

    def _series_now(self) -> int:
        return self._series + self._unapplied.series

    def _devices_now(self) -> int:
        return self._devices + self._unapplied.devices

    def lookup(self, batch: Batch, token: Token | None) -> Lookup | None:
        """What to look up before these readings are accepted; None if nothing."""
        found = Lookup({}, {}, token)
        for partition, blocks in batch.blocks.items():
            series: dict[tuple[str, str], None] = {}
            for block in blocks:
                for device in devices_of(block):
                    for metric in block.metrics:
                        if (device, metric) not in self._existing:
                            series[device, metric] = None
            if series:
                found.series[partition] = series
                found.devices[partition] = dict.fromkeys(device for device, _ in series)
        return found if found.series else None

    def settle(self, batch: Batch, lookup: Lookup, replies: list[Any]) -> Batch:
        """The readings that may be stored, given the replies to the commands of the lookup.

        If the caps leave no room for a new series: with partial acceptance its readings are left
        out, else the error is raised (422) and nothing may be stored.
        """
        new_series, new_devices = self._new(lookup, replies)
        if not new_series:
            return batch
        with self._lock:
            is_whole = batch.rejected is None
            refused = self._refused(new_series, new_devices, lookup.token, first_only=is_whole)
            if refused and is_whole:
                raise refused[next(iter(refused))]
            taken = [each for each in new_series if each not in refused]
            self._count(taken, new_devices, lookup.token)
        return batch if not refused else without(batch, refused)

    def _new(self, lookup: Lookup, replies: list[Any]) -> tuple[list[tuple[str, str]], set[str]]:
        """The series and devices that do not exist; those that do are cached."""
        new_series: list[tuple[str, str]] = []
        new_devices: set[str] = set()
        for number, (partition, series) in enumerate(lookup.series.items()):
            scores, states, rows = replies[3 * number : 3 * number + 3]
            devices = lookup.devices[partition]
            new_devices |= {d for d, score in zip(devices, scores, strict=True) if score is None}
            for each, state, row in zip(series, states, rows, strict=True):
                if state is None and row is None:
                    new_series.append(each)
                else:
                    self._cache(each)
        return new_series, new_devices

    def _refused(
        self,
        series: list[tuple[str, str]],
        devices: set[str],
        token: Token | None,
        *,
        first_only: bool,
    ) -> dict[tuple[str, str], Refused]:
        """The new series that exceed a cap, each with its error."""
        rooms = self._rooms(token)
        refused: dict[tuple[str, str], Refused] = {}
        seen: set[str] = set()
        taken = 0
        for device, metric in series:
            count = len(seen) + (device in devices and device not in seen)
            for room in rooms:
                if kind := room.exceeded(count, taken + 1):
                    refused[device, metric] = _too_many(device, metric, room.token, kind)
                    break
            else:
                taken += 1
                if device in devices:
                    seen.add(device)
            if refused and first_only:
                break
        return refused

    def _rooms(self, token: Token | None) -> list[_Room]:
        """The room left in the deployment, and for a token with a cap."""
        devices = _left(self._devices_max, self._devices_now())
        rooms = [_Room("", devices, _left(self._series_max, self._series_now()))]
        if token is not None and token.is_capped:
            devices = _left(token.devices_max, self._used(f"{token.id}:devices"))
            series = _left(token.series_max, self._used(f"{token.id}:series"))
            rooms.append(_Room(token.id, devices, series))
        return rooms

    def _used(self, field: str) -> int:
        return self._use.get(field, 0) + self._not_counted.get(field, 0)

    def _count(self, series: list[tuple[str, str]], devices: set[str], token: Token | None) -> None:
        """Count what was admitted."""
        if not series:
            return
        added = len(devices & {device for device, _ in series})
        self._unapplied.add(len(series), added)
        if token is not None and token.is_capped:
            for kind, count in (("series", len(series)), ("devices", added)):
                field = f"{token.id}:{kind}"
                self._not_counted[field] = self._not_counted.get(field, 0) + count
        for each in series:
            self._cache(each)

    def _cache(self, series: tuple[str, str]) -> None:
        if len(self._existing) >= _EXISTING_MAX:
            self._existing.clear()
        self._existing.add(series)


def _applied(counts: list[bytes | None]) -> tuple[int, int]:
    """The numbers of the last appended entry of a partition, and of the last applied one."""
    entries, done, begun = (int(count or 0) for count in counts[:3])
    return entries, begun - 1 if begun else done


def _left(cap: int, held: int) -> float:
    return cap - held if cap else math.inf


def _too_many(device: str, metric: str, token: str, kind: str) -> Refused:
    owner = f"token {token}" if token else "this deployment"
    limit = f"the {kind}_max of the token" if token else f"TRIBUTARY_{kind.upper()}_MAX"
    return Refused(
        f"{metric!r:.80} of device {device!r:.140} is new, and {owner} may have no more {kind}; "
        f"raise {limit}, or send existing ones",
        status=422,
        code="too_many_series",
        field=metric[:80],
    )
