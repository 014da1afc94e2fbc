"""Keeps a snapshot of all devices in the process, so that filters and orders read no device.

It is read again while someone looks at the list, for at most a tenth of the time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import redis

from api.read.fleet_snapshot import FleetSnapshot
from tributary.errors import Refused, Unavailable
from tributary.model.catalogue import Ranges
from tributary.operate import alert_states
from tributary.operate.alert_states import Place
from tributary.settings import Settings
from tributary.store import keys
from tributary.store.outage import Outage
from tributary.store.redis_client import failures

DEVICES_MAX = 250_000  # some 150 MB; the list by name has no limit
_FRESH_S = 1.0
_IDLE = 9  # rest this many times as long as a snapshot took
_OLDEST_S = 15.0  # beyond its time; an older one is not used
_PAGE = 200  # devices per partition and round trip
_ALERTS = 1_000  # per page


class FleetStore:
    """The newest snapshot. Thread-safe."""

    def __init__(
        self,
        client: redis.Redis,
        settings: Settings,
        ranges: Ranges,
        devices_max: int = DEVICES_MAX,
    ) -> None:
        self._client = client
        self._partitions = settings.partitions
        self._ranges = ranges
        self._devices_max = devices_max
        self._lock = threading.Lock()
        self._snapshot: FleetSnapshot | None = None
        self._read_s = 0.0  # when, on the monotonic clock
        self._lifetime_s = 0.0
        self._is_reading = False
        self._outage = Outage("list of devices")

    def snapshot(self) -> FleetSnapshot:
        """A snapshot; one that has become old is replaced, in the background if that takes time.

        Raises:
            Unavailable: Redis cannot reply.
            Refused: 422, there are too many devices.
        """
        with self._lock:
            age_s = time.monotonic() - self._read_s
            if self._snapshot is None or age_s > self._lifetime_s + _OLDEST_S:
                return self._replace()
            if age_s > self._lifetime_s and self._lifetime_s <= _FRESH_S:
                return self._replace()
            if age_s > self._lifetime_s and not self._is_reading:
                self._is_reading = True
                threading.Thread(target=self._replace_later, daemon=True).start()
            return self._snapshot

    def _replace_later(self) -> None:
        try:
            self._replace()
            self._outage.end()
        except (Refused, Unavailable) as error:
            self._outage.begin(error)
        finally:
            self._is_reading = False

    def _replace(self) -> FleetSnapshot:
        began_s = time.monotonic()
        found = FleetSnapshot(self._stored(), self._ranges, self._firing())
        self._read_s = time.monotonic()
        self._lifetime_s = max(_FRESH_S, _IDLE * (self._read_s - began_s))
        self._snapshot = found
        return found

    def _firing(self) -> set[str]:
        """The devices with an alert that is firing."""
        found: set[str] = set()
        place: Place | None = Place()
        while place is not None:
            alerts, place = alert_states.page(self._client, self._partitions, place, _ALERTS)
            found |= {each.device for each in alerts if each.state.state == "firing"}
        return found

    def _stored(self) -> Iterator[tuple[str, bytes]]:
        """Every device with its stored body, a page of each partition at a time."""
        begin = dict.fromkeys(range(self._partitions), b"-")
        count = 0
        while begin:
            with failures():
                pages = self._client.pipeline(transaction=False)
                for partition, first in begin.items():
                    pages.zrangebylex(keys.devices(partition), first, b"+", start=0, num=_PAGE)
                named = dict(zip(begin, pages.execute(), strict=True))
                bodies = self._client.pipeline(transaction=False)
                listed = {partition: names for partition, names in named.items() if names}
                for partition, names in listed.items():
                    bodies.hmget(keys.latest(partition), names)
                found = bodies.execute() if listed else []
            begin = {n: b"(" + names[-1] for n, names in listed.items() if len(names) == _PAGE}
            count += sum(map(len, listed.values()))
            self._check(count)
            for names, latest in zip(listed.values(), found, strict=True):
                yield from (
                    (name.decode(), body)
                    for name, body in zip(names, latest, strict=True)
                    if body is not None
                )

    def _check(self, count: int) -> None:
        if count > self._devices_max:
            raise Refused(
                f"there are more than {self._devices_max} devices, too many to filter and sort; "
                "list them by name with GET /api/v1/devices?prefix=",
                status=422,
                code="too_many_devices",
            )
