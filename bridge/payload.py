"""The payload of a message: its JSON, its device, its id. Pure."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

from bridge.message import Ignored, Message
from ingest.doors.record import json_text
from tributary.errors import Refused
from tributary.model import reading

BLANK = b" \t\r\n\xef\xbb\xbf"  # with a byte order mark


def load(payload: bytes) -> Any:
    """Decode JSON.

    Raises:
        Ignored: it is empty, which clears a retained message.
        Refused: 400, not JSON.
    """
    if not payload.strip(BLANK):
        raise Ignored("state")
    return json_text.load(payload)


def names_device(item: Any) -> bool:
    """Whether a value needs no device of the topic: it has one, or is not an object."""
    return not isinstance(item, dict) or any(
        isinstance(item.get(name), str | int) for name in reading.DEVICE_FIELDS
    )


def with_device(item: Any, device: str) -> Any:
    """An object with this device instead of its own."""
    if not isinstance(item, dict):
        return item
    return {"device": device, **{k: v for k, v in item.items() if k not in reading.DEVICE_FIELDS}}


def id_key(value: Any, name: str, message: Message) -> str:
    """The idempotency key of a message: its id is unique within its topic."""
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise refused(
            f"{name!r:.40} is {value!r:.40}, not an id; send a text or an integer", "no_id"
        )
    return key_of(message.topic, str(value))


@lru_cache(maxsize=1024)
def _topic_digest(name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=12).hexdigest()


def key_of(name: str, value: str) -> str:
    """The idempotency key for an id of a message on a topic."""
    digest = hashlib.blake2b(value.encode(errors="backslashreplace"), digest_size=16).hexdigest()
    return f"mqtt-{_topic_digest(name)}-{digest}"


def refused(message: str, code: str) -> Refused:
    """422: the message can never be stored."""
    return Refused(message, status=422, code=code)
