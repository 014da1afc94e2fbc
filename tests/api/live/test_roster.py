"""Without a server: subscriptions, ids, the mailbox, the roster and the quotas."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from api.live import event
from api.live.event import Stamp
from api.live.listener import ALERTS_MAX, Listener, every_device
from api.live.quota import Quota
from api.live.roster import LINGER_MS, PageKey, Roster
from api.live.subscription import DEVICES_MAX, Page, Subscription, parse
from tributary.errors import Refused
from tributary.model import reading
from tributary.model.alert import Transition
from tributary.settings import Settings

SETTINGS = Settings()
NOW_MS = 1_795_341_600_250


def stored(device: str, value: float, at_ms: int = NOW_MS) -> bytes:
    return (
        f'{{"device":"{device}","recorded_at":"{reading.rfc3339(at_ms)}",'
        f'"current_speed":{value},"average_speed":{value}}}'
    ).encode()


def named(*devices: str) -> Subscription:
    return Subscription(frozenset(devices), None)


def listening(
    subscription: Subscription,
    seen: Stamp | None = None,
    covers: Callable[[str], bool] = every_device,
) -> Listener:
    return Listener(subscription, seen, covers, lambda: True)


def taken(listener: Listener) -> list[str]:
    """The data of the events that are waiting for a listener."""
    lines = listener.drain().decode().splitlines()
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


def test_a_device_named_twice_counts_once():
    assert parse(b"device=car-7&device=a%2Fb&device=car-7") == named("car-7", "a/b")


def test_an_empty_query_subscribes_to_the_first_page():
    assert parse(b"") == Subscription(frozenset(), Page())
    assert parse(b"prefix=car-&after=car-6&limit=50").page == Page("car-", "car-6", 50)


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        (b"device=a&prefix=b", 400, "prefix"),
        (b"limit=0", 400, "limit"),
        (b"limit=201", 400, "limit"),
        (b"limit=" + b"9" * 5000, 400, "limit"),
        (b"limit=%D9%A3", 400, "limit"),
        (b"prefix=a&prefix=b", 400, "prefix"),
        (b"devices=a", 400, "devices"),
        (b"device=a&alerts=some", 400, "alerts"),
        (b"prefix=%ff", 400, "query"),
        (b"device=%7Bx%7D", 404, "device"),
        (b"device=", 404, "device"),
        ("device=ä".encode(), 400, "query"),
        (b"&".join(b"device=d%d" % n for n in range(DEVICES_MAX + 1)), 400, "device"),
    ],
)
def test_rejects_an_invalid_subscription(query: bytes, status: int, field: str):
    with pytest.raises(Refused) as refused:
        parse(query)
    assert (refused.value.status, refused.value.field) == (status, field)


def test_an_id_covers_what_the_client_has():
    held = event.reading("a", Stamp(5000, "0000000a"), b"{}")
    assert b"id: 5000-0000000a\n" in held.wire
    seen = Stamp.parse("5000-0000000a")
    assert seen == held.stamp
    assert seen.covers(Stamp(9000, "0000000a")), "the same value seen by another hub"
    assert seen.covers(Stamp(3999, "0000000b")), "an older change"
    assert not seen.covers(Stamp(4500, "0000000b")), "perhaps an older change by another clock"


@pytest.mark.parametrize("text", ["", "5000", "x-0000000a", "5000-0000000A", "1-2\n", "9" * 16])
def test_ignores_an_id_that_tributary_did_not_create(text: str):
    assert Stamp.parse(text) is None


def test_a_newer_event_replaces_the_older_one_and_is_sent_last():
    listener = listening(named("a", "b"))
    for device, moment in (("a", 1), ("b", 2), ("a", 3)):
        data = f"{device}{moment}".encode()
        listener.send(event.reading(device, Stamp(moment, "00000000"), data))
    assert taken(listener) == ["b2", "a3"]
    assert taken(listener) == []


def test_sends_a_change_once_and_nothing_without_a_change():
    roster = Roster(SETTINGS)
    listener = listening(named("a"))
    roster.join(listener, NOW_MS)
    assert sum(map(len, roster.to_read([]).values())) == 1, "it was never read"
    roster.publish({"a": stored("a", 1)}, NOW_MS)
    assert len(taken(listener)) == 1
    assert roster.to_read([]) == {}
    roster.publish({"a": stored("a", 1)}, NOW_MS + 100)
    assert taken(listener) == []
    roster.publish({"a": stored("a", 2)}, NOW_MS + 200)
    assert '"current_speed":2' in taken(listener)[0]


def test_reads_all_devices_of_a_changed_partition_and_new_ones_elsewhere():
    roster = Roster(Settings(partitions=2))
    devices = [f"d{n}" for n in range(20)]
    roster.join(listening(named(*devices)), NOW_MS)
    assert sorted(name for names in roster.to_read([]).values() for name in names) == sorted(
        devices
    )
    roster.publish(dict.fromkeys(devices, None), NOW_MS)
    assert roster.to_read([]) == {}
    assert list(roster.to_read([1])) == [1]


def test_sends_once_that_a_device_is_stale():
    roster = Roster(SETTINGS)
    listener = listening(named("a"))
    roster.join(listener, NOW_MS)
    roster.publish({"a": stored("a", 1)}, NOW_MS)
    assert '"stale":false' in taken(listener)[0]
    roster.maintain(NOW_MS + SETTINGS.stale_after_ms)
    assert taken(listener) == []
    roster.maintain(NOW_MS + SETTINGS.stale_after_ms + 1)
    assert '"stale":true' in taken(listener)[0]
    roster.maintain(NOW_MS + SETTINGS.stale_after_ms + 1000)
    assert taken(listener) == []


def test_a_client_that_reconnects_soon_gets_only_what_has_changed():
    roster = Roster(SETTINGS)
    first = listening(named("a", "b"))
    roster.join(first, NOW_MS)
    roster.publish({"a": stored("a", 1), "b": stored("b", 1)}, NOW_MS)
    roster.publish({"b": stored("b", 2)}, NOW_MS + 5000)
    roster.leave(first, NOW_MS + 5000)
    roster.publish({"a": stored("a", 3)}, NOW_MS + 6000)
    again = listening(named("a", "b"), Stamp(NOW_MS + 5000, "00000000"))
    roster.join(again, NOW_MS + 7000)
    assert ['"device":"a"' in data for data in taken(again)] == [False, True], (
        "the change of b is within the clock skew"
    )
    later = listening(named("a", "b"), Stamp(NOW_MS + 8000, "00000000"))
    roster.join(later, NOW_MS + 9000)
    assert taken(later) == []


def test_drops_a_device_without_listeners():
    roster = Roster(SETTINGS)
    listener = listening(named("a"))
    roster.join(listener, NOW_MS)
    roster.leave(listener, NOW_MS)
    roster.maintain(NOW_MS + LINGER_MS)
    assert roster.devices == 1
    roster.maintain(NOW_MS + LINGER_MS + 1)
    assert roster.devices == 0
    assert roster.to_read(range(SETTINGS.partitions)) == {}


def test_devices_enter_and_leave_a_page():
    roster = Roster(SETTINGS)
    page = Page(limit=2)
    listener = listening(Subscription(frozenset(), page))
    roster.join(listener, NOW_MS)
    key = PageKey(page, every_device)
    roster.update_page(key, frozenset({"b", "c"}), NOW_MS)
    roster.publish({"b": stored("b", 1), "c": stored("c", 1)}, NOW_MS)
    assert len(taken(listener)) == 2
    roster.update_page(key, frozenset({"a", "b"}), NOW_MS)
    roster.publish({"a": stored("a", 1), "c": stored("c", 2)}, NOW_MS + 100)
    assert ['"device":"a"' in data for data in taken(listener)] == [True]
    roster.leave(listener, NOW_MS)
    assert not roster.pages


def test_a_token_gets_only_the_devices_it_covers():
    roster = Roster(SETTINGS)
    page = Page()

    def only_a(name: str) -> bool:
        return name == "a"

    listener = listening(Subscription(frozenset(), page), covers=only_a)
    roster.join(listener, NOW_MS)
    roster.update_page(PageKey(page, only_a), frozenset({"a", "b"}), NOW_MS)
    roster.publish({"a": stored("a", 1), "b": stored("b", 1)}, NOW_MS)
    assert ['"device":"a"' in data for data in taken(listener)] == [True]


def test_a_new_hub_does_not_send_what_the_client_has():
    held = stored("a", 1)
    listener = listening(named("a"), Stamp(1, event.digest(held, stale=False)))
    roster = Roster(SETTINGS)
    roster.join(listener, NOW_MS)
    roster.publish({"a": held}, NOW_MS)
    assert taken(listener) == []
    roster.publish({"a": stored("a", 2)}, NOW_MS + 100)
    assert len(taken(listener)) == 1


def test_limits_the_listeners_of_a_token_and_of_an_address():
    quota = Quota(Settings(live_listeners_per_token=2, live_listeners_per_address=3))
    for _ in range(2):
        quota.take("phone", "10.0.0.1")
    with pytest.raises(Refused, match="token phone has 2 listeners") as refused:
        quota.take("phone", "10.0.0.2")
    assert (refused.value.status, refused.value.code) == (429, "too_many_listeners")
    quota.take("tablet", "10.0.0.1")
    with pytest.raises(Refused, match=r"address 10\.0\.0\.1 has 3"):
        quota.take("", "10.0.0.1")
    quota.release("phone", "10.0.0.1")
    quota.take("phone", "10.0.0.1")


def test_keeps_nothing_after_the_last_listener_has_left():
    quota = Quota(Settings())
    for number in range(1000):
        quota.take(f"t-{number}", f"10.0.0.{number}")
        quota.release(f"t-{number}", f"10.0.0.{number}")
    assert not quota._held


def transition(device: str, number: int = 0) -> Transition:
    return Transition(device, "speed", "fast", "info", "firing", "ok", NOW_MS, float(number), "i")


def test_alerts_of_the_devices_of_a_listener_are_sent_behind_their_readings():
    roster, mine, other = Roster(SETTINGS), listening(named("a")), listening(named("b"))
    for listener in (mine, other):
        roster.join(listener, NOW_MS)
    roster.publish({"a": stored("a", 1.0)}, NOW_MS)
    roster.publish_alerts([transition("a", 1), transition("a", 2), transition("c")], NOW_MS)
    _, first, second = map(json.loads, taken(mine))
    assert first == {
        "device": "a", "metric": "speed", "rule": "fast", "severity": "info", "state": "firing",
        "since": reading.rfc3339(NOW_MS), "value": 1.0,
    }  # fmt: skip
    assert second["value"] == 2.0
    assert taken(mine) == taken(other) == []


def test_alerts_of_all_devices_are_sent_to_a_listener_that_wants_them():
    roster = Roster(SETTINGS)
    every = listening(parse(b"device=a&alerts=all"))
    few = listening(parse(b"limit=1&alerts=all"), None, lambda device: device == "b")
    for listener in (every, few):
        roster.join(listener, NOW_MS)
    roster.publish_alerts([transition("a"), transition("b"), transition("c")], NOW_MS)
    assert [json.loads(text)["device"] for text in taken(every)] == ["a", "b", "c"]
    assert [json.loads(text)["device"] for text in taken(few)] == ["b"]


def test_of_too_many_alerts_the_oldest_are_dropped():
    roster, slow = Roster(SETTINGS), listening(named("a"))
    roster.join(slow, NOW_MS)
    roster.publish_alerts([transition("a", n) for n in range(ALERTS_MAX + 5)], NOW_MS)
    values = [json.loads(text)["value"] for text in taken(slow)]
    assert values == list(range(5, ALERTS_MAX + 5))
