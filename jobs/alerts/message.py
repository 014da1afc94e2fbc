"""What is sent about a transition. Pure.

Webhooks follow Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from email.message import EmailMessage

import msgspec

from tributary.model import reading
from tributary.model.alert import Transition

FIRING, RESOLVED = "alert.firing", "alert.resolved"


def kind(transition: Transition) -> str | None:
    """The type of the event; None for one that is not sent: an alert that was only pending."""
    if transition.state == "firing":
        return FIRING
    return RESOLVED if transition.was == "firing" else None


def body(transition: Transition) -> bytes:
    """The body of a webhook: type, time and the alert."""
    since = reading.rfc3339(transition.since_ms)
    data = {
        "device": transition.device,
        "metric": transition.metric,
        "rule": transition.rule,
        "severity": transition.severity,
        "state": transition.state,
        "since": since,
        "value": transition.value,
    }
    return msgspec.json.encode({"type": kind(transition), "timestamp": since, "data": data})


def headers(id_: str, packed: bytes, secrets: Sequence[bytes], now_s: int) -> dict[str, str]:
    """The header fields that identify and sign a webhook, one signature per secret."""
    signed = b"%b.%d.%b" % (id_.encode(), now_s, packed)
    signatures = [hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets]
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(now_s),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(s).decode()}" for s in signatures),
    }


def mail(transition: Transition, sender: str, receivers: Sequence[str]) -> EmailMessage:
    """An e-mail; its `Message-ID` is the same whenever it is sent."""
    is_firing = transition.state == "firing"
    name = f"{transition.rule}: {transition.device} {transition.metric}"
    found = EmailMessage()
    found["Subject"] = f"[{transition.severity if is_firing else 'ok'}] {name}"
    found["From"], found["To"] = sender, ", ".join(receivers)
    found["Message-ID"] = f"<{transition.id}@{sender.rpartition('@')[2]}>"
    found["Auto-Submitted"] = "auto-generated"
    found.set_content(
        f"{name} is {'firing' if is_firing else 'ok again'}.\n\n"
        f"severity  {transition.severity}\nvalue     {transition.value!r}\n"
        f"since     {reading.rfc3339(transition.since_ms)}\n"
    )
    return found
