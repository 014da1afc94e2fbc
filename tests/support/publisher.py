"""A publisher that repeats what its broker may have lost, and knows what it has sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

_UNACKNOWLEDGED_MAX = 100

MessageOf = Callable[[int], tuple[str, str]]  # number → topic and payload


class Publisher(threading.Thread):
    """Publishes numbered messages at QoS 1 until it is stopped."""

    def __init__(self, port: int, name: str, message: MessageOf, pause_s: float = 0.0) -> None:
        super().__init__(daemon=True)
        self._message = message
        self._pause_s = pause_s
        self._changed = threading.Condition()
        self._numbers: dict[int, int] = {}  # packet identifier → number, not acknowledged
        self._early: set[int] = set()  # packet identifiers acknowledged before `publish` returned
        self._acknowledged_at_s: dict[int, float] = {}
        self.sent = 0
        self.repeated: set[int] = set()
        self.is_stopping = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.max_inflight_messages_set(_UNACKNOWLEDGED_MAX)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_publish = self._on_publish
        self._client.connect_async("127.0.0.1", port, clean_start=False)
        self._client.loop_start()

    def run(self) -> None:
        """Publish the next number whenever few are not acknowledged."""
        while not self.is_stopping.wait(self._pause_s):
            with self._changed:
                self._changed.wait_for(self._may_publish)
            if not self.is_stopping.is_set():
                self.sent += 1
                self._publish(self.sent - 1)

    def repeat(self, saved_at_s: float) -> None:
        """Publish again what a killed broker acknowledged, but had not saved."""
        with self._changed:
            lost = [n for n, at_s in self._acknowledged_at_s.items() if at_s >= saved_at_s]
            for number in lost:
                del self._acknowledged_at_s[number]
        self.repeated.update(lost)
        for number in lost:
            self._publish(number)

    def finish(self, timeout_s: float = 60.0) -> bool:
        """Stop, and wait until everything is acknowledged; whether it is."""
        self.is_stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self.is_alive():
            self.join(timeout_s)
        with self._changed:
            is_done = self._changed.wait_for(lambda: not self._numbers, timeout_s)
        self._client.disconnect()
        self._client.loop_stop()
        return is_done

    def _may_publish(self) -> bool:
        return self.is_stopping.is_set() or len(self._numbers) < _UNACKNOWLEDGED_MAX

    def _publish(self, number: int) -> None:
        topic, payload = self._message(number)
        mid = self._client.publish(
            topic, payload, qos=1
        ).mid  # not under the lock: paho has its own
        with self._changed:
            if mid in self._early:
                self._early.remove(mid)
                self._acknowledged_at_s[number] = time.time()
            else:
                self._numbers[mid] = number

    def _on_publish(
        self, _client: Any, _data: Any, mid: int, _reason: Any, _properties: Any
    ) -> None:
        with self._changed:
            number = self._numbers.pop(mid, None)
            if number is None:
                self._early.add(mid)
            else:
                self._acknowledged_at_s[number] = time.time()
            self._changed.notify_all()
