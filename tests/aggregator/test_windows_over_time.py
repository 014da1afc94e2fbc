"""Windows over time: they empty without readings, and late readings go to their slots."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
from support import folding

from api.read import query
from api.read.bodies import Window
from tributary.errors import Misconfigured
from tributary.model import reading
from tributary.model.aggregate import Layout
from tributary.model.frame import Block
from tributary.operate import status
from tributary.settings import Settings
from tributary.store import keys

START_MS = 1_700_000_040_000  # a whole minute; the hour began 14 minutes before


class Recorded:
    """Readings of one series that a worker has folded."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self.client, self.settings = client, settings
        self.layout = Layout(settings.parsed_windows, settings.average_over)

    def at(self, *seconds: float) -> None:
        """Record a reading at each of these times after the start, one after the other."""
        for second in seconds:
            time_ms = START_MS + int(second * 1000)
            folding.append(self.client, self.settings, [Block("d", time_ms, {"m": float(second)})])
        folding.aggregate(self.settings, self.client)

    def window(self, name: str, second: float) -> Window:
        """The statistics of a window at that time."""
        partition = keys.partition_of("d", self.settings.partitions)
        (found,) = folding.packed(self.client, self.settings, partition, [("d", "m")])
        series = query.unpack(self.layout, found.state or b"", found.windows)
        number = [w.name for w in self.layout.windows].index(name)
        return query.window(self.layout, series, number, START_MS + int(second * 1000))

    def counts(self, name: str, *seconds: float) -> list[int]:
        return [self.window(name, second).count for second in seconds]


@pytest.fixture
def recorded(client: redis.Redis, settings: Settings) -> Recorded:
    return Recorded(client, settings)


def test_windows_empty_slot_by_slot_without_new_readings(recorded: Recorded):
    recorded.at(0, 4, 6)
    assert recorded.counts("1m", 6, 64.999, 65, 69.999, 70) == [3, 3, 1, 1, 0]
    assert recorded.counts("15m", 70, 15 * 60 + 59, 16 * 60) == [3, 3, 0]
    assert recorded.counts("24h", 3600, 24 * 3600, 25 * 3600) == [3, 3, 0]
    empty = recorded.window("1m", 3600)
    assert (empty.mean, empty.stddev, empty.min, empty.max) == (None, None, None, None)


def test_a_response_contains_the_time_span_it_covers(recorded: Recorded):
    recorded.at(0)
    found = recorded.window("1m", 63.2)
    assert found.from_ == reading.rfc3339(START_MS)  # the start of the slot of 3.2 s
    assert found.to == reading.rfc3339(START_MS + 63_200)
    assert recorded.window("1h", 1).from_ == reading.rfc3339(START_MS - 3_600_000 - 240_000)


def test_only_recent_readings_count_after_a_gap(recorded: Recorded):
    recorded.at(0, 1, 2)
    recorded.at(30)  # six slots later, five of them without readings
    assert recorded.counts("1m", 30, 64, 65, 90, 95) == [4, 4, 1, 1, 0]
    assert recorded.counts("15m", 900, 959, 960) == [4, 4, 0]
    recorded.at(1000)  # no cell of the short ring is current any more
    assert recorded.counts("1m", 1000) == [1]
    assert recorded.counts("15m", 1000) == [1]
    assert recorded.counts("1h", 1000) == [5]


def test_a_late_reading_is_merged_into_its_slot(recorded: Recorded):
    recorded.at(0, 20, 40, 21)
    found = recorded.window("1m", 41)
    assert (found.count, found.min, found.max) == (4, 0.0, 40.0)
    assert recorded.counts("1m", 79, 85) == [3, 1]
    assert status.read(recorded.client, recorded.settings).late == 0
    assert folding.latest(recorded.client, recorded.settings, "d")["current_m"] == 40.0


def test_a_reading_too_late_for_every_window_counts_in_the_totals_only(recorded: Recorded):
    recorded.at(0, -25 * 3600 - 1, -23 * 3600)
    assert recorded.counts("24h", 0) == [2]
    found = status.read(recorded.client, recorded.settings)
    assert (found.accepted, found.applied, found.late) == (3, 2, 1)
    assert folding.state(recorded.client, recorded.settings, "d", "m")["count"] == 3


def test_a_reading_ahead_of_the_clock_counts_once_its_time_is_reached(recorded: Recorded):
    recorded.at(0, 30)
    assert recorded.counts("1m", 1, 29, 30) == [1, 1, 2]


def test_windows_cannot_be_changed_later(client: redis.Redis, change: Callable[..., Settings]):
    recorded = Recorded(client, change(windows="10s/2s,1h/1h"))
    recorded.at(0, 2, 9)
    assert recorded.counts("10s", 9, 12, 14, 22) == [3, 2, 1, 0]
    assert recorded.counts("1h", 9) == [3]
    with pytest.raises(Misconfigured, match="windows is 10s/2s,1h/1h in Redis"):
        Recorded(client, change(windows="1m/5s")).at(20)


def test_totals_are_kept_without_windows(client: redis.Redis, change: Callable[..., Settings]):
    recorded = Recorded(client, change(windows=""))
    recorded.at(0, -90_000, 5)
    assert folding.state(client, recorded.settings, "d", "m")["count"] == 3
    assert status.read(client, recorded.settings).late == 0
