"""The persistent MQTT 5.0 session with the broker, at QoS 1 with manual acknowledgement.

paho reads the network in a thread of its own and reconnects with back-off. Until the session
expires, the broker keeps unacknowledged messages and those published while the bridge is
disconnected. It sends at most `in_flight_max` unacknowledged messages (Receive Maximum).
Retained messages are not requested (Retain Handling 2), because they would count again.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Sequence
from typing import Any

from loguru import logger
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from bridge.broker import Broker
from bridge.counts import Counts
from bridge.inbox import Acknowledgement, Inbox
from bridge.message import Message
from bridge.payload import key_of
from tributary.operate import bridges
from tributary.settings import Settings
from tributary.store.outage import Outage

KEEPALIVE_S = 30
_BACKOFF_S = (1, 30)  # the first and the longest pause between attempts to connect
_KEY_PROPERTY = "idempotency-key"


class Session:
    """One session; messages go to the inbox."""

    def __init__(
        self,
        settings: Settings,
        broker: Broker,
        filters: Sequence[str],
        inbox: Inbox,
        counts: Counts,
    ) -> None:
        self._broker = broker
        self._filters = filters
        self._inbox = inbox
        self._counts = counts
        self._outage = Outage("broker")
        self._lock = threading.Lock()  # an acknowledgement belongs to the connection of its message
        self._connection = 0  # the number of the one that is open
        self.is_subscribed = False
        self._properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        self._properties.SessionExpiryInterval = settings.mqtt_session_expiry_s
        self._properties.ReceiveMaximum = settings.mqtt_in_flight_max
        self._properties.MaximumPacketSize = settings.in_flight_max_bytes
        self._client = self._new_client(settings)

    def start(self) -> None:
        """Connect in the background, and again whenever the connection is lost."""
        self._client.connect_async(
            self._broker.host,
            self._broker.port,
            keepalive=KEEPALIVE_S,
            clean_start=False,
            properties=self._properties,
        )
        self._client.loop_start()

    def watch(self) -> None:
        """Start the thread again if a malformed packet has ended it; call once per second."""
        self._client.loop_start()  # does nothing while the thread runs

    def acknowledge(self, done: Acknowledgement) -> None:
        """Acknowledge messages, unless their connection is lost."""
        with self._lock:
            if done.connection == self._connection:
                for mid in done.ids:
                    self._client.ack(mid, 1)

    def stop(self) -> None:
        """Disconnect; the broker keeps the session."""
        self._client.disconnect()
        self._client.loop_stop()

    def _new_client(self, settings: Settings) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=bridges.client_id(settings),
            protocol=MQTTProtocolVersion.MQTTv5,
            transport="tcp" if self._broker.websocket_path is None else "websockets",
            manual_ack=True,
        )
        if self._broker.websocket_path is not None:
            client.ws_set_options(self._broker.websocket_path)
        if self._broker.is_tls:
            client.tls_set_context(ssl.create_default_context())
        if self._broker.user:
            client.username_pw_set(self._broker.user, self._broker.password or None)
        client.reconnect_delay_set(*_BACKOFF_S)
        client.on_pre_connect = self._on_pre_connect
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _on_connect(
        self, client: Client, _userdata: Any, flags: Any, reason: Any, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._outage.begin(f"{self._broker.address} rejects the connection: {reason}")
            return
        number = self._inbox.connected(has_session=flags.session_present)
        with self._lock:
            self._connection = number
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        client.subscribe([(each, options) for each in self._filters])

    def _on_subscribe(
        self, _client: Client, _userdata: Any, _mid: int, reasons: Any, _properties: Any
    ) -> None:
        refused = [
            f"{filter_} ({reason})"
            for filter_, reason in zip(self._filters, reasons, strict=False)
            if reason.is_failure
        ]
        if refused:
            self._outage.begin(f"{self._broker.address} rejects the subscription: {refused}")
            return
        self._outage.end()
        self.is_subscribed = True
        log = logger.bind(action="subscribed", broker=self._broker.address, topics=self._filters)
        log.info("subscribed")

    def _on_connect_fail(self, _client: Client, _userdata: Any) -> None:
        self._outage.begin(f"no connection to {self._broker.address}")

    def _on_disconnect(
        self, _client: Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        self._close()
        if reason.is_failure:
            self._outage.begin(f"the connection to {self._broker.address} was lost: {reason}")

    def _on_pre_connect(self, _client: Client, _userdata: Any) -> None:
        self._close()  # not every loss of a connection is reported

    def _close(self) -> None:
        with self._lock:
            self._connection = 0
        self.is_subscribed = False

    def _on_message(self, client: Client, _userdata: Any, received: MQTTMessage) -> None:
        self._counts.add("received")
        message = _message(received)
        if message is None:
            self._counts.add("ignored:topic")
            message = Message("", b"", 0, received.qos, received.mid, is_done=True)
        elif received.retain:
            self._counts.add("ignored:retained")
            message.is_done = True
        self._inbox.put(message)
        if message.is_done or message.is_repeated:
            self.acknowledge(self._inbox.repeated())


def _message(received: MQTTMessage) -> Message | None:
    """A message as the bridge keeps it; None if its topic is not UTF-8."""
    try:
        name = received.topic
    except UnicodeDecodeError:
        return None
    message = Message(
        name,
        bytes(received.payload),
        time.time_ns() // 1_000_000,
        received.qos,
        received.mid,
        is_repeated=received.dup,
    )
    for field, value in getattr(received.properties, "UserProperty", ()):
        if field.lower() == _KEY_PROPERTY:
            message.key = key_of(name, value)
    return message
