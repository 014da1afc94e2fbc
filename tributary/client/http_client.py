"""`Tributary`: the client of a deployment."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec

from tributary.client.batch_sender import Batch, Limits, OnReceipt, Reading
from tributary.client.endpoint import Endpoint, Request
from tributary.client.receipt import Receipt, Refusal
from tributary.client.spool import MAX_AGE_S, MAX_BYTES, Spool, SpoolLimits
from tributary.client.watching import Watching
from tributary.errors import Refused

RETRY_FOR_S = 60.0
_TOO_LARGE = 413

_encode = msgspec.json.Encoder().encode


class Tributary:
    """Records to and collects from a deployment. Thread-safe.

    Every call raises `Unavailable` if it gets no response within `retry_for_s`, `Refused` if
    the server rejects the request, and `ServerError` if the response is not one of Tributary.

    Args:
        url: address of the server, like `http://127.0.0.1:8000`.
        token: sent as `Authorization: Bearer`.
        retry_for_s: how long a call is retried while the server is unavailable.

    Raises:
        Misconfigured: the URL is invalid.
    """

    def __init__(
        self, url: str, token: str | None = None, *, retry_for_s: float = RETRY_FOR_S
    ) -> None:
        self._endpoint = Endpoint(url, token)
        self.url = self._endpoint.url
        self.retry_for_s = retry_for_s

    def record(self, reading: Reading | None = None, /, **fields: Any) -> None:
        """Record one reading: `record(device="car-7", engine_temperature=92.3)`.

        Raises:
            Refused: the reading is invalid; nothing is stored.
        """
        body = _encode({**(reading or {}), **fields})
        self._request(Request("POST", "/record", body, key=secrets.token_hex(16)))

    def record_all(
        self,
        readings: Iterable[Reading | msgspec.Raw],
        *,
        key: str | None = None,
        retry_for_s: float | None = None,
    ) -> Receipt:
        """Record many readings in one request; invalid ones are skipped.

        Args:
            readings: mappings, or readings already encoded as JSON.
            key: `Idempotency-Key`; the same readings under the same key count once.
            retry_for_s: overrides that of the client.

        Returns:
            The number of accepted readings, and the refused ones with the reason.
        """
        items = [r if isinstance(r, msgspec.Raw) else msgspec.Raw(_encode(r)) for r in readings]
        receipt = Receipt(key or secrets.token_hex(16))
        deadline_s = self._deadline_s(retry_for_s)
        parcels = [_Parcel(receipt.key, list(range(len(items))))] if items else []
        while parcels:
            parcel = parcels.pop()
            body = _encode([items[index] for index in parcel.indexes])
            request = Request("POST", "/record?on_error=skip", body, key=parcel.key)
            try:
                receipt.add_response(parcel.indexes, self._endpoint.request(request, deadline_s))
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
            max_readings: size at which an array is sent,
            max_age_s: or age of its first reading at which it is sent.
            buffer_max: readings that are buffered; beyond it, `record` blocks.
            on_receipt: called with the readings of each array and their receipt, in order.
        """
        return Batch(self, Limits(max_readings, max_age_s, buffer_max), on_receipt)

    def spool(
        self,
        path: str | Path,
        *,
        max_bytes: int = MAX_BYTES,
        max_age_s: float = MAX_AGE_S,
        key_lifetime_s: float | None = None,
    ) -> Spool:
        """Keep readings in a file until the server has them, for use with `with`.

        `record` of the spool never waits for the network, and what is not delivered is delivered
        after a restart.

        Args:
            path: an SQLite file on a local disk; one per process.
            max_bytes: of readings that are kept; beyond it, the oldest are dropped and counted.
            max_age_s: age at which a reading is dropped and counted.
            key_lifetime_s: how long the server remembers an `Idempotency-Key`, if it does not
                publish that in its `/openapi.json`.

        Raises:
            Misconfigured: a limit is invalid, or the file is in use or is not a spool.
            SpoolError: the file cannot be read or written.
        """
        limits = SpoolLimits(max_bytes, max_age_s, key_lifetime_s)
        return Spool(self._endpoint, Path(path), limits)

    def collect(self, device: str | None = None) -> dict[str, Any]:
        """Current values and averages of a device, as returned by `/collect`.

        Raises:
            Refused: with status 404 if the named device is unknown.
        """
        fields = None if device is None else {"device": device}
        return self._request(Request("GET", "/collect", fields=fields))

    def watch(self, *devices: str, prefix: str = "") -> Iterator[dict[str, Any]]:
        """Yield the response of `collect` whenever it changes, without end.

        The current values come first. A lost connection is reestablished.

        Args:
            devices: names of up to 200 devices; if empty:
            prefix: the first 200 devices with this prefix, and those that join later.

        Raises:
            Refused: with status 404 for an invalid device name, 501 without live updates.
        """
        named = [("device", device) for device in devices]
        fields = named or [("prefix", prefix), ("limit", "200")]
        return iter(Watching(self._endpoint, fields, self.retry_for_s))

    def ping(self) -> None:
        """Check once whether the server responds.

        Raises:
            Unavailable: no server responds at this address.
        """
        with contextlib.suppress(Refused):  # a server that refuses is available
            self._endpoint.request(Request("GET", "/healthz"), time.monotonic())

    def close(self) -> None:
        """Close the connection pool."""
        self._endpoint.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _request(self, request: Request) -> dict[str, Any]:
        return self._endpoint.request(request, self._deadline_s(None))

    def _deadline_s(self, retry_for_s: float | None) -> float:
        return time.monotonic() + (self.retry_for_s if retry_for_s is None else retry_for_s)


class _Parcel(NamedTuple):
    """Readings of a call that are sent in one request."""

    key: str
    indexes: list[int]

    def part(self, name: str, indexes: list[int]) -> _Parcel:
        """A part of the parcel, with a key derived from this key and the name of the part."""
        derived = hashlib.sha256(f"{self.key}/{name}".encode()).hexdigest()[:32]
        return _Parcel(derived, indexes)


def _remaining(parcel: _Parcel, refusal: Refused, receipt: Receipt) -> list[_Parcel]:
    """The parts still to be sent of a parcel that was refused as a whole, in reverse order.

    Raises:
        Refused: the reason is neither one reading nor the size, so every part would be refused.
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
