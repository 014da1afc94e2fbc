"""Senders with a ledger: each sends readings of several devices until enough are acknowledged."""

from __future__ import annotations

import http.client
import json
import random
import secrets
import threading
import time
from typing import NamedTuple
from urllib.parse import urlsplit

from support.ledger import METRIC, Ledger, Sent
from tributary.model.clock import utc_ms

_PAUSE_S = 0.01
_RETRY_FOR_S = 60.0  # of one request
# Codes of a 503 that is sent before anything is appended.
_NEVER_STORED = {"backlog_full", "overloaded", "too_many_new_series"}


class Style(NamedTuple):
    """How to send: readings per request, pause between requests, retries, timeout."""

    sizes: tuple[int, ...] = (1, 5, 20, 50)
    pause_s: float = 0.0
    is_keyed: bool = False  # send an Idempotency-Key, and retry until there is a response
    timeout_s: float = 10.0


class Wire:
    """One keep-alive connection to `/record` that enters every request in a ledger."""

    def __init__(self, url: str, ledger: Ledger, style: Style) -> None:
        self._address = urlsplit(url).netloc
        self._ledger = ledger
        self._style = style
        self._connection: http.client.HTTPConnection | None = None
        self.is_abandoned = threading.Event()  # leave requests without a response indeterminate

    def send(self, sent: Sent) -> str:
        """Send readings, with retries if they have a key, and enter the outcome in the ledger."""
        request = self._ledger.intend(sent)
        key = secrets.token_hex(16) if self._style.is_keyed else None
        body = _body(sent)  # the same in each attempt: one key has one body
        outcome, has_doubt = self._post(body, key), False
        until_s = time.monotonic() + _RETRY_FOR_S
        while key and outcome in {"maybe", "later"} and time.monotonic() < until_s:
            has_doubt = has_doubt or outcome == "maybe"
            if self.is_abandoned.wait(_PAUSE_S):
                break
            outcome = self._post(body, key)
        if outcome in {"later", "refused"}:
            outcome = "maybe" if has_doubt else "refused"
        self._ledger.settle(request, sent, outcome)
        return outcome

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _post(self, body: str, key: str | None) -> str:
        """One attempt: ok, dup, refused (for good), later (not stored) or maybe (unknown)."""
        headers = {"Idempotency-Key": key} if key else {}
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(
                    self._address, timeout=self._style.timeout_s
                )
            self._connection.request("POST", "/record", body, headers)
            response = self._connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            self._ledger.responses[type(error).__name__] += 1
            return "later" if isinstance(error, ConnectionRefusedError) else "maybe"
        self._ledger.responses[str(response.status)] += 1
        return _outcome(response.status, text)


def _body(sent: Sent) -> str:
    now_ms = utc_ms()
    return json.dumps(
        [{"device": sent.device, "recorded_at": now_ms, METRIC: number} for number in sent.numbers]
    )


def _outcome(status: int, body: bytes) -> str:
    """The outcome that a response implies."""
    if status == http.HTTPStatus.OK:
        return "dup" if json.loads(body).get("duplicate") else "ok"
    if status == http.HTTPStatus.TOO_MANY_REQUESTS:
        return "later"
    if status < http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return "refused"
    # Any other 503 may be due to a lost reply: the readings may be stored.
    is_certain = status == http.HTTPStatus.SERVICE_UNAVAILABLE and _code(body) in _NEVER_STORED
    return "later" if is_certain else "maybe"


def _code(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["code"])
    except (ValueError, LookupError, TypeError):
        return ""


class Sender(threading.Thread):
    """Sends batches of its devices over one keep-alive connection."""

    def __init__(  # noqa: PLR0913 - keyword arguments
        self,
        url: str,
        ledger: Ledger,
        devices: list[str],
        *,
        readings: int,
        seed: int,
        style: Style = Style(),  # noqa: B008 - it cannot be changed
    ) -> None:
        super().__init__(daemon=True)
        self.wire = Wire(url, ledger, style)
        self._next = dict.fromkeys(devices, 0)
        self._readings = readings
        self._style = style
        self._random = random.Random(seed)
        self.giving_up = threading.Event()

    def run(self) -> None:
        acknowledged = 0
        while acknowledged < self._readings and not self.giving_up.is_set():
            device = self._random.choice(list(self._next))
            size = min(self._random.choice(self._style.sizes), self._readings - acknowledged)
            sent = Sent(device, self._next[device], self._next[device] + size - 1)
            self._next[device] += size
            is_taken = self.wire.send(sent) in {"ok", "dup"}
            if is_taken:
                acknowledged += size
            self.giving_up.wait(self._style.pause_s if is_taken else _PAUSE_S)
        self.wire.close()
