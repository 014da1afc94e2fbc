"""Messages that are not acknowledged: bounded, and acknowledged in the order of their arrival.

The network thread puts messages in; the event loop takes them, stores them and reports them as
done. MQTT 5.0 requires acknowledgements in the order of arrival (MQTT-4.6.0-2).

When the connection to the broker is lost, messages are kept and stored all the same: the broker
may have lost its copy. It delivers those that are not acknowledged again, under the same packet
identifier; a message that is still here is then recognised, and not stored twice.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from bridge.message import Message


class Acknowledgement(NamedTuple):
    """Packet identifiers to acknowledge, in this order, if their connection still exists."""

    connection: int
    ids: list[int]


class Inbox:
    """The messages between the broker and Redis; thread-safe."""

    def __init__(self, messages_max: int, bytes_max: int) -> None:
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._changed = threading.Condition()
        self._waiting: deque[Message] = deque()
        self._order: deque[Message] = deque()  # of this connection, not acknowledged
        self._by_id: dict[int, Message] = {}  # not acknowledged
        self._held = self._bytes = 0  # not done
        self._connection = 0
        self._is_closed = False
        self.on_arrival: Callable[[], None] = lambda: None  # the first message after none waited

    @property
    def held(self) -> int:
        """Messages that are not stored yet."""
        return self._held

    def put(self, message: Message) -> None:
        """Add a message of the current connection; waits while the inbox is full.

        A receiver that waits does not read its socket, so the broker has to wait, too.
        """
        with self._changed:
            if message.qos:
                earlier = self._by_id.get(message.mid)
                if earlier is not None and message.repeats(earlier):
                    self._order.append(earlier)
                    return
                self._by_id[message.mid] = message
                self._order.append(message)
            if message.is_done:
                return
            self._changed.wait_for(lambda: self._is_closed or not self._is_full())
            if self._is_closed:  # it stays with the broker
                return
            self._held += 1
            self._bytes += message.size
            self._waiting.append(message)
            is_first = len(self._waiting) == 1
        if is_first:
            self.on_arrival()

    def take(self, count: int) -> list[Message]:
        """Remove up to `count` messages, to be stored or refused; `finish` them afterwards."""
        with self._changed:
            return [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]

    def finish(self, messages: Iterable[Message]) -> Acknowledgement:
        """Mark messages as stored or refused; returns what to acknowledge now."""
        with self._changed:
            for message in messages:
                message.is_done = True
                self._held -= 1
                self._bytes -= message.size
            self._changed.notify_all()
            return self._acknowledgeable()

    def repeated(self) -> Acknowledgement:
        """What to acknowledge because it was done before it was delivered again."""
        with self._changed:
            return self._acknowledgeable()

    def connected(self, *, has_session: bool) -> int:
        """Begin a new connection and return its number.

        With a session, the broker delivers again what the last connection did not acknowledge.
        """
        with self._changed:
            self._by_id = {each.mid: each for each in self._order} if has_session else {}
            self._order.clear()
            self._connection += 1
            return self._connection

    def close(self) -> None:
        """Take no further messages."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _is_full(self) -> bool:
        return self._held >= self._messages_max or self._bytes >= self._bytes_max

    def _acknowledgeable(self) -> Acknowledgement:
        found = Acknowledgement(self._connection, [])
        while self._order and self._order[0].is_done:
            message = self._order.popleft()
            if self._by_id.get(message.mid) is message:
                del self._by_id[message.mid]
            found.ids.append(message.mid)
        return found
