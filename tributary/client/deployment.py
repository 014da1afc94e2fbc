"""`Tributary`: a deployment as a Python program sees it."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Self

import msgspec

from tributary.client.batch import Batch, Limits, OnReceipt, Reading
from tributary.client.endpoint import Endpoint, Request
from tributary.client.receipt import Receipt, Refusal
from tributary.client.watching import Watching
from tributary.errors import Refused

PATIENCE_S = 60.0
_TOO_LARGE = 413

_encode = msgspec.json.Encoder().encode


class Tributary:
    """A deployment: record, collect. Safe to share between threads.

    Every call raises `Unavailable` when patience ends without an answer, `Refused` when the
    server says no for good, and `ServerFault` when what answers is no Tributary.

    Args:
        url: where it is, like `http://127.0.0.1:8000`.
        token: sent as `Authorization: Bearer`.
        patience_s: how long a call may go on asking a server that says "later".

    Raises:
        Misconfigured: the URL is not one.
    """

    def __init__(
        self, url: str, token: str | None = None, *, patience_s: float = PATIENCE_S
    ) -> None:
        self._endpoint = Endpoint(url, token)
        self.url = self._endpoint.url
        self.patience_s = patience_s

    def record(self, reading: Reading | None = None, /, **fields: Any) -> None:
        """Record one reading: `record(device="car-7", engine_temperature=92.3)`.

        Raises:
            Refused: it breaks a rule of the contract; nothing is stored.
        """
        body = _encode({**(reading or {}), **fields})
        self._ask(Request("POST", "/record", body, key=secrets.token_hex(16)))

    def record_all(
        self,
        readings: Iterable[Reading | msgspec.Raw],
        *,
        key: str | None = None,
        patience_s: float | None = None,
    ) -> Receipt:
        """Record many readings in one request; those that break a rule are left out.

        Args:
            readings: mappings, or readings that are JSON already.
            key: `Idempotency-Key`; the same readings under the same key count once.
            patience_s: in place of the client's own.

        Returns:
            How many were accepted, and which were refused and why.
        """
        items = [r if isinstance(r, msgspec.Raw) else msgspec.Raw(_encode(r)) for r in readings]
        receipt = Receipt(key or secrets.token_hex(16))
        deadline_s = self._deadline_s(patience_s)
        parcels = [_Parcel(receipt.key, list(range(len(items))))] if items else []
        while parcels:
            parcel = parcels.pop()
            body = _encode([items[index] for index in parcel.indexes])
            request = Request("POST", "/record?on_error=skip", body, key=parcel.key)
            try:
                receipt.enter(parcel.indexes, self._endpoint.ask(request, deadline_s))
            except Refused as refusal:
                parcels += _remaining(parcel, refusal, receipt)
        return receipt

    def batch(
        self,
        *,
        max_readings: int = 1000,
        max_age_s: float = 1.0,
        buffer_max: int = 10_000,
        on_receipt: OnReceipt | None = None,
    ) -> Batch:
        """A buffer that sends arrays of readings in the background, for use with `with`.

        Args:
            max_readings: an array is sent when it holds so many,
            max_age_s: or when its first reading has waited so long.
            buffer_max: readings that may wait; beyond that `record` waits.
            on_receipt: called with the readings of an array and their receipt, in order.
        """
        return Batch(self, Limits(max_readings, max_age_s, buffer_max), on_receipt)

    def collect(self, device: str | None = None) -> dict[str, Any]:
        """Current values and averages of a device, as `/collect` answers them.

        Raises:
            Refused: with status 404 when nothing was recorded of the device that is named.
        """
        fields = None if device is None else {"device": device}
        return self._ask(Request("GET", "/collect", fields=fields))

    def watch(self, *devices: str, prefix: str = "") -> Iterator[dict[str, Any]]:
        """Answers of `collect`, each time one has become another; it does not end by itself.

        What a device reads already comes first. A connection that is lost is made again.

        Args:
            devices: up to 200, by name; or without any:
            prefix: the first 200 devices that begin with it, and those that join them.

        Raises:
            Refused: with status 404 for a name no device can have, 501 if the server cannot push.
        """
        named = [("device", device) for device in devices]
        fields = named or [("prefix", prefix), ("limit", "200")]
        return iter(Watching(self._endpoint, fields, self.patience_s))

    def ping(self) -> None:
        """Return if the server answers now; it is asked once.

        Raises:
            Unavailable: nobody answers there.
        """
        with contextlib.suppress(Refused):  # who refuses is there
            self._endpoint.ask(Request("GET", "/healthz"), time.monotonic())

    def close(self) -> None:
        """Close the connections that are kept."""
        self._endpoint.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, request: Request) -> dict[str, Any]:
        return self._endpoint.ask(request, self._deadline_s(None))

    def _deadline_s(self, patience_s: float | None) -> float:
        return time.monotonic() + (self.patience_s if patience_s is None else patience_s)


class _Parcel(NamedTuple):
    """Some of the readings of a call, to be sent in one request."""

    key: str
    indexes: list[int]

    def part(self, name: str, indexes: list[int]) -> _Parcel:
        """Some of these under a key that depends on nothing but this key and the name."""
        derived = hashlib.sha256(f"{self.key}/{name}".encode()).hexdigest()[:32]
        return _Parcel(derived, indexes)


def _remaining(parcel: _Parcel, refusal: Refused, receipt: Receipt) -> list[_Parcel]:
    """What is yet to be sent of a parcel that was refused whole, last first.

    Raises:
        Refused: it is not about one reading or the size, so no part would fare better.
    """
    indexes = parcel.indexes
    if refusal.status == _TOO_LARGE and len(indexes) > 1:
        half = len(indexes) // 2
        return [parcel.part("second", indexes[half:]), parcel.part("first", indexes[:half])]
    at = 0 if refusal.status == _TOO_LARGE else refusal.index
    if at is None or not 0 <= at < len(indexes):
        raise refusal
    receipt.refuse(Refusal(indexes[at], refusal.code, refusal.message, refusal.field))
    rest = indexes[:at] + indexes[at + 1 :]
    return [parcel.part(f"without {at}", rest)] if rest else []
