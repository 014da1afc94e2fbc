"""At most so many series and devices: beyond, new ones are refused, and known ones go on.

Below nine tenths of a cap nothing is looked up: the totals are read from Redis once per second,
and what this process has seen for the first time since is added. From there on, and always for a
token with a cap of its own, the series of each request are looked up: first among those that
this process knows to exist, then in Redis. What may still join is the cap less what Redis holds
and less what this process has just admitted.

Every pair of a device and a metric that this process has not seen is counted at once, in
whichever form it comes. Near a cap one HTTP process is exact. What other processes have admitted,
and what this one had before it was started again, it knows when that is applied: several exceed
a cap by at most what the others admit within the lag. What exists and is new only to this process
takes room for a second at most.
Requests and the thread that refreshes share what is counted under a lock, which is never held
while Redis is asked.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import redis

from ingest import unapplied
from ingest.batch import Batch
from ingest.newcomers import Joined
from ingest.series import Lookup, devices_of, without
from ingest.unapplied import Unapplied
from tributary.auth.tokens import Token
from tributary.errors import Refused
from tributary.settings import Settings
from tributary.store import keys
from tributary.store.redis_client import failures

_LOOK_FROM = 0.9  # of a cap
_KNOWN_MAX = 200_000  # series, some 100 bytes each


class _Room(NamedTuple):
    """How many more devices and series there may be; None: any number."""

    devices: int | None
    series: int | None


class Caps:
    """What one process knows of the totals; `refresh` must be called about once per second."""

    def __init__(self, settings: Settings) -> None:
        self._partitions = settings.partitions
        self._series_max = settings.series_max
        self._devices_max = settings.devices_max
        self._series = self._devices = 0
        self._use: dict[str, int] = {}  # of tokens with a cap
        self._known: set[tuple[str, str]] = set()
        self._unapplied = Unapplied()
        self._not_counted: dict[str, int] = {}  # not in Redis yet, so also if it is away
        self._lock = threading.Lock()
        self.is_near = False  # whether the caps of the deployment are near

    def refresh(self, client: redis.Redis) -> None:
        """Read the totals, and add what tokens with a cap have used.

        Raises:
            TributaryError: Redis was not asked; the totals of before stay.
        """
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
            self._series, self._devices = sum(totals[1::3]), sum(totals[2::3])
            self._unapplied.subtract(existing)
            self._unapplied.end_second([_applied(counts) for counts in totals[0::3]])
            self.is_near = self._is_near(0, 0)

    def _read(self, client: redis.Redis, used: dict[str, int]) -> tuple[list[Any], dict[Any, Any]]:
        """Totals of each partition, and the use of tokens after this was added to it."""
        partitions = self._partitions if self._series_max or self._devices_max else 0
        with failures():
            pipeline = client.pipeline(transaction=False)
            for partition in range(partitions):
                pipeline.hmget(keys.meta(partition), "entries", "done_entries", "begun_entry")
                pipeline.hlen(keys.state(partition))
                pipeline.zcard(keys.devices(partition))
            for name, count in used.items():
                pipeline.hincrby(keys.TOKEN_USE, name, count)
            pipeline.hgetall(keys.TOKEN_USE)
            *totals, use = pipeline.execute()
        return totals[: partitions * 3], use

    def _is_near(self, series: int, devices: int) -> bool:
        """Whether a cap is near if so many may join."""
        return (
            self._held_series() + series >= self._series_max * _LOOK_FROM > 0
            or self._held_devices() + devices >= self._devices_max * _LOOK_FROM > 0
        )

    def join(self, joined: Joined) -> None:
        """These may be new; from nine tenths of a cap on they will be looked up."""
        with self._lock:
            self.is_near = self.is_near or self._is_near(joined.series, joined.devices)
            if not self.is_near:
                self._unapplied.join(joined)

    def _held_series(self) -> int:
        """Those that Redis holds, and those that were admitted and are not applied yet."""
        return self._series + self._unapplied.series

    def _held_devices(self) -> int:
        return self._devices + self._unapplied.devices

    def lookup(self, batch: Batch, token: Token | None) -> Lookup | None:
        """What has to be asked of Redis before these readings are taken; None: nothing."""
        found = Lookup({}, {}, token)
        for partition, blocks in batch.blocks.items():
            series: dict[tuple[str, str], None] = {}
            for block in blocks:
                for device in devices_of(block):
                    for metric in block.metrics:
                        if (device, metric) not in self._known:
                            series[device, metric] = None
            if series:
                found.series[partition] = series
                found.devices[partition] = dict.fromkeys(device for device, _ in series)
        return found if found.series else None

    def settle(self, batch: Batch, lookup: Lookup, replies: list[Any]) -> Batch:
        """The readings that may be stored, given what exists in Redis.

        Args:
            batch: the readings of the request; with partial acceptance, the readings of rejected
                series are left out.
            lookup: of the request.
            replies: to the commands of the lookup, in their order.

        Raises:
            Refused: 422, the caps leave no room for a new series; nothing may be stored.
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
        """The series and devices that were looked up and do not exist; others are remembered."""
        new_series: list[tuple[str, str]] = []
        new_devices: set[str] = set()
        for number, (partition, series) in enumerate(lookup.series.items()):
            scores, states = replies[2 * number], replies[2 * number + 1]
            devices = lookup.devices[partition]
            new_devices |= {d for d, score in zip(devices, scores, strict=True) if score is None}
            for each, state in zip(series, states, strict=True):
                if state is None:
                    new_series.append(each)
                else:
                    self._know(each)
        return new_series, new_devices

    def _refused(
        self,
        series: list[tuple[str, str]],
        devices: set[str],
        token: Token | None,
        *,
        first_only: bool,
    ) -> dict[tuple[str, str], Refused]:
        """The new series that exceed a cap, each with its refusal."""
        of_all = _Room(
            _left(self._devices_max, self._held_devices()),
            _left(self._series_max, self._held_series()),
        )
        of_token = self._room_of(token)
        refused: dict[tuple[str, str], Refused] = {}
        seen: set[str] = set()
        taken = 0
        for device, metric in series:
            count = len(seen) + (device in devices and device not in seen)
            problem = _beyond("", of_all, count, taken + 1)
            if problem is None and token is not None:
                problem = _beyond(token.id, of_token, count, taken + 1)
            if problem is not None:
                refused[device, metric] = _refusal(device, metric, *problem)
                if first_only:
                    break
                continue
            taken += 1
            if device in devices:
                seen.add(device)
        return refused

    def _room_of(self, token: Token | None) -> _Room:
        if token is None or not token.is_capped:
            return _Room(None, None)
        return _Room(
            _left(token.devices_max, self._used(f"{token.id}:devices")),
            _left(token.series_max, self._used(f"{token.id}:series")),
        )

    def _used(self, field: str) -> int:
        return self._use.get(field, 0) + self._not_counted.get(field, 0)

    def _count(self, series: list[tuple[str, str]], devices: set[str], token: Token | None) -> None:
        """Remember what was admitted."""
        if not series:
            return
        joined = len(devices & {device for device, _ in series})
        self._unapplied.add(len(series), joined)
        if token is not None and token.is_capped:
            for kind, count in (("series", len(series)), ("devices", joined)):
                field = f"{token.id}:{kind}"
                self._not_counted[field] = self._not_counted.get(field, 0) + count
        for each in series:
            self._know(each)

    def _know(self, series: tuple[str, str]) -> None:
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        self._known.add(series)


def _applied(counts: list[bytes | None]) -> tuple[int, int]:
    """How many entries of a partition were appended, and up to which one all are applied."""
    entries, done, begun = (int(count or 0) for count in counts)
    return entries, begun - 1 if begun else done


def _left(cap: int, held: int) -> int | None:
    return cap - held if cap else None


def _beyond(owner: str, room: _Room, devices: int, series: int) -> tuple[str, str] | None:
    if room.series is not None and series > room.series:
        return owner, "series"
    if room.devices is not None and devices > room.devices:
        return owner, "devices"
    return None


def _refusal(device: str, metric: str, owner: str, kind: str) -> Refused:
    where = f"token {owner} may" if owner else "this deployment may"
    remedy = (
        f"raise the {kind}_max of the token" if owner else f"raise TRIBUTARY_{kind.upper()}_MAX"
    )
    return Refused(
        f"{metric!r:.80} of device {device!r:.140} is new, and {where} have no more {kind}; "
        f"{remedy}, or send known ones",
        status=422,
        code="too_many_series",
        field=metric[:80],
    )
