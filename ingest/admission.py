"""What every request must pass before its readings are appended, whatever its door."""

from __future__ import annotations

import hashlib
import math
import re
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import msgspec

from ingest import decompress
from ingest.batch import Batch
from ingest.caps import Caps
from ingest.doors.door import Door, Query, Request
from ingest.limits import Rules
from ingest.new_series import NewSeries, NewSeriesRate
from ingest.series import Lookup
from tributary.auth.guard import Guard, RequestHeaders, Secret
from tributary.auth.rate import Rate
from tributary.auth.tokens import Table, Token
from tributary.errors import Refused
from tributary.http.response import Response
from tributary.settings import Settings
from tributary.store import keys
from tributary.store.counts import Counts
from tributary.store.stream import Idempotency

_KEY_MAX = 255
_DIGEST_BYTES = 16
_KEY = re.compile(r"[A-Za-z0-9._:/-]{1,128}")


class Admitted(msgspec.Struct, gc=False):
    """A batch that may be appended, and the response once it is."""

    batch: Batch
    response: Response
    idempotency: Idempotency | None = None  # for a request that may be retried
    lookup: Lookup | None = None  # must be settled before anything is appended
    new_series: NewSeries | None = None  # must be forgotten if the batch is not stored


class Admission:
    """The rules, rates, caps and tokens of one process."""

    def __init__(self, settings: Settings, guard: Guard) -> None:
        self.rules = Rules(settings)
        self._guard = guard
        self._device_rate = Rate(settings.rate_per_device)
        self._token_rate = Rate(settings.rate_per_token)
        self._new_series_rate = NewSeriesRate(settings.new_series_per_second)
        self._caps = Caps(settings)
        guard.every_second(self._caps.refresh)
        self._ignored = Counts(keys.IGNORED)
        guard.every_second(self._ignored.flush)
        self._is_rate_limited = bool(settings.rate_per_device or settings.rate_per_token)

    def admit(self, door: Door, request: Request, now_ms: int) -> Admitted:
        """Admit a request; its body is decoded in place.

        Raises:
            Refused: 400, 401, 403, 413, 415, 422 or 429; nothing of it may be stored.
            Unavailable: the tokens are not loaded yet, or too many new series join.
        """
        head = request.head
        if door.is_ordinary and not request.query:  # fast code: most requests
            token = self._guard.admit(head, writes=True)
            if head.content_encoding != "identity":
                self._decompress(request)
        else:
            token = self._authenticate(door, request)
        batch = door.parse(request, now_ms, self.rules)
        if token is not None:
            token.check("record", () if token.is_for_all else batch.devices())
        if self._is_rate_limited:
            self._limit_rate(batch.readings_by_device(), token, now_ms / 1000)
        response = door.ok(batch)
        idempotency = None
        if batch.idempotency_key is not None:
            idempotency = Idempotency(
                _key_of_token(batch.idempotency_key, token),
                response.body,
                hashlib.blake2b(request.body, digest_size=_DIGEST_BYTES).digest(),
            )
        if door.single is not None and head.is_plain and not self._is_rate_limited:
            self._note_free(head, token)
        # Last, since new series are counted here: nothing may reject the request after it.
        new = None if batch.is_known else self._count_new(batch, token, now_ms / 1000)
        if batch.texts:
            self._ignored.add(door.name, batch.texts)
        if not self._caps.is_near and (token is None or not token.is_capped):
            return Admitted(batch, response, idempotency, None, new)
        return Admitted(batch, response, idempotency, self._caps.lookup(batch, token), new)

    def free_with(self) -> Table | None:
        """The tokens with which heads are free (`RequestHeaders.is_free_with`); None: none is.

        Near a cap each series is looked up.
        """
        return None if self._caps.is_near else self._guard.table

    def _note_free(self, head: RequestHeaders, token: Token | None) -> None:
        """Note whether requests with this head may record any reading of known series."""
        is_free = head.memo is not None and head.memo[1] is token
        if token is not None:
            is_free &= token.is_for_all and token.expires_at_ms is None and not token.is_capped
        head.is_free_with = head.memo[0] if is_free and head.memo is not None else None

    def _authenticate(self, door: Door, request: Request) -> Token | None:
        """Find the token of a request where the door or the query has it, and decompress the body."""
        if door.secret_in_body:
            self._decompress(request)
        token = None
        if door.secret is None and door.is_public:
            self._guard.check_browser(request.head, writes=True)
        else:
            secret = _secret(request) if door.secret is None else partial(door.secret, request)
            token = self._guard.admit(request.head, writes=True, secret=secret)
        if not door.secret_in_body:
            self._decompress(request)
        if door.has_device_of_token and token is not None and token.is_for_one:
            given = request.query
            request.query = Query({"device": token.device, **given})
            request.query.repeated = given.repeated
        return token

    def _decompress(self, request: Request) -> None:
        request.body = decompress.decompress(
            request.body, request.head.content_encoding, self.rules.body_max_bytes
        )

    def _count_new(self, batch: Batch, token: Token | None, now_s: float) -> NewSeries | None:
        """Count the series that are new to this process, within their rate."""
        new = self._new_series_rate.admit(batch, "" if token is None else token.id, now_s)
        if new is None:
            if not batch.is_batch:
                self.rules.remember(batch)
            elif batch.remember is not None:
                batch.remember()
        elif token is None or not token.is_capped:  # else it is looked up, and counted then
            self._caps.add(new)
        return new

    def forget(self, new: NewSeries | None, failure: Exception | None = None) -> None:
        """Forget series that were not stored, so that they count as new the next time.

        A request that a cap rejected is not refunded its part of the rate, since looking it up has
        a cost.
        """
        if new is not None:
            self._new_series_rate.forget(new, refund=not isinstance(failure, Refused))
            self.rules.forget(new.shapes)

    def settle(self, door: Door, admitted: Admitted, replies: list[Any]) -> Admitted:
        """Apply the replies to the lookup of a request; after a 422 `forget` its new series."""
        assert admitted.lookup is not None
        batch = self._caps.settle(admitted.batch, admitted.lookup, replies)
        if batch is admitted.batch:
            return msgspec.structs.replace(admitted, lookup=None)
        assert batch.rejected
        self.forget(admitted.new_series, batch.rejected[0])  # all, since only a part is stored
        response = door.ok(batch)
        idempotency = admitted.idempotency
        if idempotency is not None:
            idempotency = idempotency._replace(response=response.body)
        return Admitted(batch, response, idempotency)

    def _limit_rate(self, readings: dict[str, int], token: Token | None, now_s: float) -> None:
        limited = [(self._device_rate, device, count) for device, count in readings.items()]
        if token is not None:
            limited.append((self._token_rate, token.id, sum(readings.values())))
        waits_s = [rate.wait_s(name, count, now_s) for rate, name, count in limited]
        wait_s = max(waits_s, default=0)
        if wait_s > 0:
            raise Refused(
                "too many readings per second; send them later, or fewer at once",
                status=429,
                code="too_many_requests",
                headers={"Retry-After": str(math.ceil(wait_s))},
            )
        for rate, name, count in limited:
            rate.count(name, count, now_s)


def _secret(request: Request) -> Secret | None:
    """Finds the token in the query string, for clients that cannot send header fields."""
    if request.head.authorization or "token" not in request.query:
        return None
    return partial(request.query.__getitem__, "token")


def query_parser(query: bytes, **params: str) -> Query:
    """`Request.query` of a query string and the parameters of a path."""
    given = parse_qs(query.decode("latin-1"), keep_blank_values=True) if query else {}
    found = Query({name: values[-1] for name, values in given.items()}, **params)
    found.repeated = tuple(name for name, values in given.items() if len(values) > 1)
    return found


def _key_of_token(key: str, token: Token | None) -> str:
    """The name of the stored response: a key belongs to the token that sent it."""
    if not 1 <= len(key) <= _KEY_MAX:
        raise Refused(
            f"the idempotency key has {len(key)} characters; use 1 to {_KEY_MAX}",
            status=400,
            code="invalid_idempotency_key",
        )
    if _KEY.fullmatch(key) is None:
        key = "sha256-" + hashlib.sha256(key.encode("latin-1", "backslashreplace")).hexdigest()
    return key if token is None else f"{token.id}/{key}"
