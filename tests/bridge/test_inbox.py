"""Acknowledgements: in order, only for the connection of the message, and never too early."""

from __future__ import annotations

import threading

from bridge.inbox import Inbox
from bridge.message import Message


def message(mid: int, text: str = "", *, repeated: bool = False, qos: int = 1) -> Message:
    return Message("a/b", text.encode(), 0, qos, mid, is_repeated=repeated)


def connected(messages_max: int = 100, bytes_max: int = 1 << 20) -> Inbox:
    inbox = Inbox(messages_max, bytes_max)
    inbox.connected(has_session=False)
    return inbox


def test_acknowledgements_are_in_the_order_of_arrival():
    inbox = connected()
    for mid in (5, 3, 4):
        inbox.put(message(mid))
    first, second, third = inbox.take(10)
    assert inbox.finish([second]).ids == []
    assert inbox.finish([first]).ids == [5, 3]
    assert inbox.finish([third]).ids == [4]
    assert inbox.held == 0


def test_messages_of_qos_0_are_stored_and_not_acknowledged():
    inbox = connected()
    inbox.put(message(0, qos=0))
    assert inbox.finish(inbox.take(10)).ids == []


def test_a_redelivery_is_recognised_while_the_first_delivery_is_not_stored():
    inbox = connected()
    inbox.put(message(1, "x"))
    taken = inbox.take(10)
    number = inbox.connected(has_session=True)
    inbox.put(message(1, "x", repeated=True))
    assert inbox.take(10) == []
    assert inbox.finish(taken) == (number, [1])


def test_a_redelivery_is_recognised_after_the_first_delivery_was_stored():
    inbox = connected()
    inbox.put(message(1, "x"))
    taken = inbox.take(10)
    number = inbox.connected(has_session=True)
    assert inbox.finish(taken).ids == []
    inbox.put(message(1, "x", repeated=True))
    assert inbox.repeated() == (number, [1])


def test_another_message_with_the_same_packet_identifier_is_stored():
    for repeated, text in ((False, "x"), (True, "y")):
        inbox = connected()
        inbox.put(message(1, "x"))
        inbox.connected(has_session=True)
        inbox.put(message(1, text, repeated=repeated))
        assert len(inbox.take(10)) == 2


def test_nothing_is_recognised_without_a_session():
    inbox = connected()
    inbox.put(message(1, "x"))
    taken = inbox.take(10)
    inbox.connected(has_session=False)
    inbox.put(message(1, "x", repeated=True))
    assert inbox.finish(taken).ids == []
    assert inbox.finish(inbox.take(10)).ids == [1]


def test_a_message_that_is_done_on_arrival_keeps_the_order():
    inbox = connected()
    inbox.put(message(1))
    ignored = message(2)
    ignored.is_done = True
    inbox.put(ignored)
    assert inbox.repeated().ids == []
    assert inbox.finish(inbox.take(10)).ids == [1, 2]


def test_a_full_inbox_makes_the_receiver_wait():
    for inbox in (connected(messages_max=1), connected(bytes_max=100)):
        inbox.put(message(1))
        is_put = threading.Event()

        def put(into: Inbox = inbox, done: threading.Event = is_put) -> None:
            into.put(message(2))
            done.set()

        thread = threading.Thread(target=put)
        thread.start()
        assert not is_put.wait(0.05)
        inbox.finish(inbox.take(10))
        assert is_put.wait(10)
        thread.join()
        assert len(inbox.take(10)) == 1


def test_closing_releases_a_receiver_that_waits():
    inbox = connected(messages_max=1)
    inbox.put(message(1))
    thread = threading.Thread(target=inbox.put, args=(message(2),))
    thread.start()
    inbox.close()
    thread.join(10)
    assert not thread.is_alive()
    assert [each.mid for each in inbox.take(10)] == [1]
