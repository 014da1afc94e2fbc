"""The bounds of deliveries, undelivered transitions and silences."""

from __future__ import annotations

import threading

import msgspec
import pytest
from support.alert_log import begin, deliver, logged, position
from support.hook_receiver import Hook, Receiver
from support.processes import Server

from jobs.alerts import destination, log_reader
from tributary.errors import Refused
from tributary.operate import alert_delivery
from tributary.operate.alert_delivery import Silence
from tributary.settings import Settings
from tributary.store import keys


class Busy:
    """A status after a moment; counts the webhooks that wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting = self.most = 0

    def __call__(self, _: Hook) -> int:
        with self._lock:
            self._waiting += 1
            self.most = max(self.most, self._waiting)
        threading.Event().wait(0.05)
        with self._lock:
            self._waiting -= 1
        return 204


def test_a_partition_keeps_the_newest_undelivered_transitions(
    server: Server, settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(log_reader, "UNDELIVERED_MAX", 3)
    begin(server, settings)
    rejected = [logged(server, settings, "a", n) for n in range(5)]
    receiver.status = lambda _: 410
    deliver(settings, lambda: position(server, settings, "a") == 5)
    kept = alert_delivery.undelivered(server.client, settings.partitions, 10)
    assert {each.transition.id for each in kept if each.transition} == set(rejected[2:])


def test_deliveries_to_a_destination_at_one_time_are_limited(
    server: Server, settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(destination, "AT_ONCE_MAX", 3)
    wide = msgspec.structs.replace(settings, partitions=12)
    deliver(wide, lambda: all(server.client.exists(keys.delivered(p)) for p in range(12)))
    receiver.status = busy = Busy()
    wanted = {logged(server, wide, f"car-{n}", n) for n in range(40)}
    deliver(wide, lambda: wanted <= set(receiver.ids))
    assert busy.most == 3


def test_silences_are_limited_and_need_a_series(
    server: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(Refused, match="device 'a' has no metric 'm'"):
        alert_delivery.silence(server.client, 2, Silence("a", "m", "high", 2), 1)
    logged(server, settings, "a", 1)
    monkeypatch.setattr(alert_delivery, "SILENCES_MAX", 2)
    for rule, until_ms in (("one", 5), ("two", 9)):
        alert_delivery.silence(server.client, 2, Silence("a", "m", rule, until_ms), 1)
    with pytest.raises(Refused, match="2 silences in the partition of 'a', the limit"):
        alert_delivery.silence(server.client, 2, Silence("a", "m", "three", 9), 1)
    alert_delivery.silence(server.client, 2, Silence("a", "m", "three", 9), 6)  # one has ended
    assert {s.rule for s in alert_delivery.silences(server.client, 2, 6)} == {"two", "three"}
