"""Delivers the batches of a spool file, one request at a time, oldest first.

Before the first request and after every failure, `/readyz` must respond: so a server that is
away costs no batch its certainty, and its `Date` measures the age of a key without trusting the
clock of this machine, which may be suspended or wrong.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import NamedTuple

from tributary.client import spool_proof
from tributary.client.endpoint import Endpoint, NotSent, Reply, Request, pause_s
from tributary.client.receipt import Receipt
from tributary.client.spool_file import SpoolFile, StoredBatch
from tributary.client.spool_proof import Applied, Verdict
from tributary.errors import Unavailable

KEY_LIFETIME_S = 600.0  # of a server that does not publish it
LONGEST_PAUSE_S = 30.0
RETRY_AFTER_MAX_S = 3600.0
_REFUSED_ATTEMPT = 7  # the pause after 401, 403 and the like is that of many attempts
_MARGIN_S = 30.0  # of a key: rounding of Date, and the time that a request may take
_CLOCK_ERROR_S = 5.0
_APPLIED_WITHIN_S = 120.0  # how long to wait for aggregators that lag
_FAILURES_MAX = 10  # internal errors of the server for one batch
_TOO_LARGE = 413
_PROXY_TIMEOUTS = frozenset((408, 499))  # of a proxy that may have forwarded the request
_REFUSES_READINGS = frozenset((400, _TOO_LARGE, 422))
# Codes of a 503 before anything is stored.
_NOTHING_STORED = frozenset(("overloaded", "too_many_new_series"))
_KEY_RENEWED = "backlog_full"  # the keys of frames that are stored have been renewed


class Delayed(Exception):
    """Nothing can be delivered now.

    `retry_after_s` is what the server asked for; `is_refused`: a person must act.
    """

    def __init__(
        self, problem: str, retry_after_s: float | None = None, *, is_refused: bool = False
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.retry_after_s = retry_after_s
        self.is_refused = is_refused


class _Connection(NamedTuple):
    """A server that responded: its clock at a monotonic time, and how long it remembers keys."""

    date_s: float
    at_s: float
    lifetime_s: float

    def now_s(self) -> float:
        """The clock of the server, or up to a second (or a suspension) less."""
        return self.date_s + time.monotonic() - self.at_s


class Delivery:
    """Call `step` again after the seconds that it returns.

    Args:
        endpoint: the server.
        file: the readings.
        key_lifetime_s: overrides what the server publishes.
    """

    def __init__(
        self, endpoint: Endpoint, file: SpoolFile, key_lifetime_s: float | None = None
    ) -> None:
        self._endpoint = endpoint
        self._file = file
        self._given_lifetime_s = key_lifetime_s
        self._lifetime_s = key_lifetime_s
        self._connection: _Connection | None = None
        self._attempt = 0
        self.problem: str | None = None
        self.is_paused = False  # the server has asked to wait

    def step(self) -> float | None:
        """Deliver one batch; returns seconds until the next step, None: nothing is waiting.

        Raises:
            SpoolError: the file cannot be read or written.
        """
        if self._file.oldest_waiting() is None:
            return None
        try:
            connection = self._connection or self._connect()
            batch = self._file.take(connection.now_s(), connection.lifetime_s)
            if batch is None:
                return None
            if batch.is_retry and _is_forgotten(batch, connection):
                self._settle(batch, connection)
            else:
                self._send(batch, connection)
        except Delayed as delay:
            self._connection = None
            self.problem = delay.problem
            after_s = delay.retry_after_s
            self.is_paused = after_s is not None
            attempt = _REFUSED_ATTEMPT if delay.is_refused else self._attempt
            self._attempt += 1
            after_s = None if after_s is None else min(after_s, RETRY_AFTER_MAX_S)
            return pause_s(attempt, after_s, LONGEST_PAUSE_S)
        self._attempt, self.problem, self.is_paused = 0, None, False
        return 0.0

    def _connect(self) -> _Connection:
        reply = self._get("/readyz")
        if reply.status == 503:
            reasons = (reply.body or {}).get("reasons") or [reply.message]
            raise Delayed(f"{self._endpoint.url}: {reasons[0]}", reply.retry_after_s)
        if reply.status != 200 or reply.date_s is None or not (reply.body or {}).get("ready"):
            raise self._refused(reply)
        at_s = time.monotonic()
        if self._given_lifetime_s is None and (self._lifetime_s is None or self._file.has_doubt()):
            self._lifetime_s = self._published_lifetime_s()
        lifetime_s = KEY_LIFETIME_S if self._lifetime_s is None else self._lifetime_s
        self._connection = _Connection(reply.date_s, at_s, lifetime_s)
        return self._connection

    def _published_lifetime_s(self) -> float:
        """The lifetime of a key in the OpenAPI document; a server for ingest only has none."""
        reply = self._get("/openapi.json")
        if reply.status not in (200, 404):
            raise self._refused(reply)
        path = (reply.body or {}).get("paths", {}).get("/record", {})
        for parameter in path.get("post", {}).get("parameters", ()):
            if "x-lifetime-ms" in parameter:
                return float(parameter["x-lifetime-ms"]) / 1000
        return KEY_LIFETIME_S

    def _send(self, batch: StoredBatch, connection: _Connection) -> None:
        sent_s = connection.now_s()
        body = b"[" + b",".join(batch.bodies) + b"]"
        request = Request("POST", "/record?on_error=skip", body, key=batch.key)
        try:
            reply = self._endpoint.attempt(request)
        except NotSent as error:
            self._not_stored(batch)
            raise Delayed(str(error)) from None
        except Unavailable as error:
            raise Delayed(str(error)) from None
        if reply.date_s is not None:
            at_s = time.monotonic()
            self._connection = connection._replace(date_s=reply.date_s, at_s=at_s)
        if reply.status == 200 and (reply.body or {}).get("success") is True:
            receipt = Receipt()
            receipt.add_response([*range(len(batch.ids))], reply.body or {})
            self._finish(batch, receipt)
        elif reply.status == 503:
            if reply.code in _NOTHING_STORED:
                self._not_stored(batch)
            elif reply.code == _KEY_RENEWED:
                self._file.update(batch, sent_s=sent_s, lifetime_s=connection.lifetime_s)
            raise Delayed(f"{self._endpoint.url}: {reply.message}", reply.retry_after_s)
        elif reply.status == 429:
            self._not_stored(batch)
            raise Delayed(f"{self._endpoint.url}: {reply.message}", reply.retry_after_s)
        else:
            self._refuse(batch, reply, connection)

    def _refuse(self, batch: StoredBatch, reply: Reply, connection: _Connection) -> None:
        """Handle a batch that the server does not accept as a whole."""
        is_stored_never = 400 <= reply.status < 500 and reply.status not in _PROXY_TIMEOUTS
        is_about_readings = reply.status in _REFUSES_READINGS and bool(reply.code)
        if not is_about_readings and reply.status != _TOO_LARGE:
            if reply.status == 500:
                self._file.update(batch, failures=batch.failures + 1)
                if batch.failures + 1 >= _FAILURES_MAX:
                    self._file.set_aside(batch, spool_proof.newest_ms(batch.bodies))
            elif is_stored_never:
                self._not_stored(batch)
            raise self._refused(reply)
        if batch.is_retry:  # an earlier attempt may have met other limits
            self._settle(batch, connection)
        elif len(batch.ids) > 1:
            self._file.split(batch)
        else:
            code = reply.code or str(reply.status)
            self._file.finish(batch, {f"rejected/{code}": 1}, {})

    def _refused(self, reply: Reply) -> Delayed:
        remedy = {401: "; check the token", 403: "; check the scopes of the token"}.get(
            reply.status, "" if reply.code else "; is it a Tributary server?"
        )
        problem = f"{self._endpoint.url}: {reply.message}{remedy}"
        return Delayed(problem, is_refused=True)

    def _not_stored(self, batch: StoredBatch) -> None:
        if not batch.is_retry:
            self._file.update(batch, sent_s=None, lifetime_s=None)

    def _finish(self, batch: StoredBatch, receipt: Receipt) -> None:
        counts = Counter({"accepted": receipt.accepted, "duplicates": receipt.duplicates})
        for refusal in receipt.refusals:
            counts[f"rejected/{refusal.code}"] += 1
        counts["rejected/not listed"] = receipt.refused - len(receipt.refusals)
        self._file.finish(batch, counts, spool_proof.newest_ms(batch.bodies))

    def _settle(self, batch: StoredBatch, connection: _Connection) -> None:
        """Find out whether a batch was counted whose key the server may have forgotten.

        Raises:
            Delayed: the aggregators have not yet applied what was accepted at that time.
        """
        found = self._verdict(batch, connection.now_s() - batch.sent_s)
        if found is Verdict.COUNTED:
            self._finish(batch, Receipt(accepted=len(batch.ids), duplicates=len(batch.ids)))
        elif found is Verdict.NOT_COUNTED:
            self._file.update(batch, sent_s=None, lifetime_s=None)
        else:
            self._file.set_aside(batch, spool_proof.newest_ms(batch.bodies))

    def _verdict(self, batch: StoredBatch, age_s: float) -> Verdict:
        of_devices = spool_proof.spans(batch.bodies)
        status = self._get("/api/v1/status")
        lag_s = (status.body or {}).get("lag_s")
        if of_devices is None or status.status != 200 or not isinstance(lag_s, int | float):
            return Verdict.UNKNOWN
        # Two clocks: that of Redis for the lag, that of the HTTP server for the age.
        is_applied = lag_s + _CLOCK_ERROR_S < age_s
        if not is_applied and -_CLOCK_ERROR_S <= age_s < _APPLIED_WITHIN_S:
            raise Delayed(f"{self._endpoint.url}: waiting until the aggregators have caught up")
        applied: dict[str, Applied] = {}
        for device in of_devices:
            reply = self._get("/collect", device=device)
            known = spool_proof.applied_of(reply.status, reply.code, reply.body)
            if known is None:
                return Verdict.UNKNOWN
            applied[device] = known
        return spool_proof.verdict(
            of_devices, self._file.newest_ms, applied.__getitem__, is_applied=is_applied
        )

    def _get(self, path: str, **fields: str) -> Reply:
        try:
            return self._endpoint.attempt(Request("GET", path, fields=fields or None))
        except Unavailable as error:
            raise Delayed(str(error)) from None


def _is_forgotten(batch: StoredBatch, connection: _Connection) -> bool:
    """Whether the server may have forgotten the key; also if its clock went back."""
    age_s = connection.now_s() + 1 - batch.sent_s
    return not -_CLOCK_ERROR_S <= age_s < min(batch.lifetime_s, connection.lifetime_s) - _MARGIN_S
