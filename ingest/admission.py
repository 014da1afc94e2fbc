"""Everything a `POST /record` must pass before its readings are appended, whoever serves it."""

from __future__ import annotations

import hashlib
import math
import re
from typing import Any
from urllib.parse import parse_qs

import msgspec

from ingest import decompress
from ingest.caps import Caps
from ingest.doors import record
from ingest.doors.record import fast
from ingest.limits import Accepted, Rules
from ingest.newcomers import Joined, Newcomers
from ingest.series import Lookup
from tributary.auth.guard import Guard, RequestHeaders
from tributary.auth.rate import Rate
from tributary.auth.tokens import Token
from tributary.errors import Refused
from tributary.settings import Settings
from tributary.store.stream import Once

_KEY_MAX = 255
_DIGEST_BYTES = 16
_KEY = re.compile(r"[A-Za-z0-9._:/-]{1,128}")


class Taken(msgspec.Struct, gc=False):
    """Readings to append, the answer once that is done, and the key of a retry-safe request."""

    accepted: Accepted
    answer: bytes
    once: Once | None
    lookup: Lookup | None = None  # to be asked of Redis before anything is appended
    rejected: list[Refused] | None = None
    joined: Joined | None = None  # to be forgotten if it is not stored


class Intake:
    """The rules, limits and tokens of one process."""

    def __init__(self, settings: Settings, guard: Guard) -> None:
        self._rules = Rules(settings)
        self._guard = guard
        self._devices = Rate(settings.rate_per_device)
        self._tokens = Rate(settings.rate_per_token)
        self._newcomers = Newcomers(settings.new_series_per_second)
        self._caps = Caps(settings)
        guard.every_second(self._caps.refresh)
        self._is_limited = bool(settings.rate_per_device or settings.rate_per_token)

    def take(self, sent: bytes, headers: RequestHeaders, query: bytes, now_ms: int) -> Taken:
        """What a request brings.

        Raises:
            Refused: 400, 401, 403, 413, 415, 422 or 429; nothing of it may then be stored.
            Unavailable: it cannot be judged yet, or too many new series join.
        """
        token = self._guard.admit(headers, writes=True)
        if headers.is_plain is None:
            headers.is_plain = _is_plain(headers)
        rejected: list[Refused] | None = None
        if headers.is_plain and not query and len(sent) <= self._rules.body_max_bytes:
            accepted = fast.parse(sent, now_ms, self._rules)  # the usual request
        else:
            if headers.content_encoding != "identity":
                sent = decompress.decoded(
                    sent, headers.content_encoding, self._rules.body_max_bytes
                )
            rejected = [] if query and _skips(query) else None
            accepted = record.accept(sent, headers.content_type, now_ms, self._rules, rejected)
        if token is not None:
            token.check("record", () if token.is_for_all else record.devices(accepted))
        if self._is_limited:
            self._limit(record.readings_by_device(accepted), token, now_ms / 1000)
        answer = record.answer(accepted, rejected)
        once = None
        if headers.idempotency_key is not None:
            digest = hashlib.blake2b(sent, digest_size=_DIGEST_BYTES).digest()
            once = Once(_once_key(headers.idempotency_key, token), answer, digest)
        # Behind all that may refuse it: what is counted as joined goes on to Redis.
        joined = None if accepted.is_known else self._join(accepted, token, now_ms / 1000)
        if not self._caps.is_near and (token is None or not token.is_capped):
            return Taken(accepted, answer, once, None, None, joined)
        lookup = self._caps.lookup(accepted, token)
        return Taken(accepted, answer, once, lookup, rejected, joined)

    def _join(self, accepted: Accepted, token: Token | None, now_s: float) -> Joined | None:
        """Admit what is new to this process, as fast as new series may join."""
        joined = self._newcomers.admit(accepted, "" if token is None else token.id, now_s)
        if joined is None:
            if not accepted.is_batch:
                self._rules.remember(accepted)
        elif token is None or not token.is_capped:  # else it is looked up, and counted then
            self._caps.join(joined)
        return joined

    def forget(self, joined: Joined | None, failure: Exception | None = None) -> None:
        """Count what joined again when it comes again: it was not stored.

        `failure`: why. What a cap refuses keeps its part of the rate, since looking it up costs.
        """
        if joined is not None:
            self._newcomers.forget(joined, gives_back=not isinstance(failure, Refused))
            for device, metrics in joined.shapes:
                self._rules.seen.pop((device, *metrics), None)

    def settle(self, taken: Taken, replies: list[Any]) -> Taken:
        """A request whose lookup Redis has answered.

        Raises:
            Refused: 422, it brings more series than the caps leave room for; then
                `forget` what has joined.
        """
        assert taken.lookup is not None
        accepted = self._caps.settle(taken.accepted, taken.lookup, replies, taken.rejected)
        if accepted is taken.accepted:
            return Taken(accepted, taken.answer, taken.once, joined=taken.joined)
        assert taken.rejected
        self.forget(taken.joined, taken.rejected[0])  # all of it, since only some of it is stored
        answer = record.answer(accepted, taken.rejected)
        once = None if taken.once is None else taken.once._replace(answer=answer)
        return Taken(accepted, answer, once)

    def _limit(self, readings: dict[str, int], token: Token | None, now_s: float) -> None:
        limited = [(self._devices, device, count) for device, count in readings.items()]
        if token is not None:
            limited.append((self._tokens, token.id, sum(readings.values())))
        wait_s = max(rate.wait_s(name, count, now_s) for rate, name, count in limited)
        if wait_s > 0:
            raise Refused(
                "too many readings a second; send them later, or fewer at once",
                status=429,
                code="too_many_requests",
                headers={"Retry-After": str(math.ceil(wait_s))},
            )
        for rate, name, count in limited:
            rate.count(name, count, now_s)


def _is_plain(headers: RequestHeaders) -> bool:
    """Whether the body is JSON as it is, to be recorded whenever it comes."""
    return (
        headers.content_encoding == "identity"
        and headers.idempotency_key is None
        and headers.content_type in record.JSON_TYPES
    )


def _skips(query: bytes) -> bool:
    """Whether bad readings are to be passed over: `on_error=skip`."""
    wanted = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("on_error", ["refuse"])
    if wanted[-1] not in ("refuse", "skip"):
        raise Refused(
            f"on_error={wanted[-1]!r:.40} is not known; use skip, or leave it out",
            status=400,
            code="invalid_on_error",
            field="on_error",
        )
    return wanted[-1] == "skip"


def _once_key(given: str, token: Token | None) -> str:
    """The name under which the answer is remembered: a key belongs to who has sent it."""
    if not 1 <= len(given) <= _KEY_MAX:
        raise Refused(
            f"the Idempotency-Key has {len(given)} characters; use 1 to {_KEY_MAX}",
            status=400,
            code="invalid_idempotency_key",
        )
    if _KEY.fullmatch(given) is None:
        given = "sha256-" + hashlib.sha256(given.encode("latin-1")).hexdigest()
    return given if token is None else f"{token.id}/{given}"
