"""All errors that Tributary raises at its edges, under one base.

The class docstring is the default message. There are three kinds of failure: the same request
may succeed later (`Unavailable`), it never will (`Refused`, `BadFrame`), or an operator must act
(`Misconfigured`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TributaryError(Exception):
    """Something in Tributary failed."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__class__.__doc__)


class Misconfigured(TributaryError):
    """A setting, the data directory or the Redis server is unsuitable; an operator must act."""


class NotRunning(TributaryError):
    """There is no deployment that a command could look at."""


class NoHistory(TributaryError):
    """There is no history yet; `tributary jobs` creates it."""


class Unavailable(TributaryError):
    """Redis is unavailable; the same request may succeed later."""

    code = "unavailable"

    def __init__(self, message: str | None = None, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ConnectionGone(Unavailable):
    """The connection to Redis ended before the reply; the command may have been executed."""


class NotPermitted(Unavailable):
    """The Redis user lacks a permission; an operator must grant it."""


class BacklogFull(Unavailable):
    """The aggregators are too far behind: a new entry could be trimmed before it is read."""

    code = "backlog_full"


class Overloaded(Unavailable):
    """This process has too many requests in progress."""

    code = "overloaded"


class TooManyNewSeries(Unavailable):
    """More new series at once than the aggregators can add without delaying the others."""

    code = "too_many_new_series"


class Superseded(TributaryError):
    """Another aggregator has committed to this partition; the state in memory is void."""


class BadFrame(TributaryError):
    """The bytes of a stream entry are not a valid frame; it can never be applied."""


class Refused(TributaryError):
    """The request breaks a rule of the contract and will never be accepted as it is."""

    def __init__(  # noqa: PLR0913 (the fields of the error body)
        self,
        message: str,
        *,
        status: int,
        code: str,
        field: str | None = None,
        index: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.field = field
        self.index = index
        self.headers = headers or {}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The remedy for an unknown name: the most similar known one, as a question."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0)
    return f"did you mean {near[0]}?" if near else ""
