"""Every error Tributary raises at its edges, under one base.

The class docstring is the default message.
There are three answers to a failure and a class for each: try again later (`Unavailable`),
never (`Refused`, `BadFrame`), and an operator must act (`Misconfigured`).
"""

from __future__ import annotations


class TributaryError(Exception):
    """Something in Tributary failed."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__class__.__doc__)


class Misconfigured(TributaryError):
    """A setting, the data directory or the Redis server does not fit; an operator must act."""


class NotRunning(TributaryError):
    """There is no deployment for a command to look at."""


class Unavailable(TributaryError):
    """Redis cannot take this now; the same request may succeed later."""

    code = "unavailable"

    def __init__(self, message: str | None = None, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ConnectionGone(Unavailable):
    """The connection to Redis ended before the reply; the command may have been executed."""


class NotPermitted(Unavailable):
    """The user of Redis lacks a permission; an operator must grant it."""


class BacklogFull(Unavailable):
    """The aggregators are too far behind: what is accepted now might be trimmed unread."""

    code = "backlog_full"


class Overloaded(Unavailable):
    """This process has too much under way."""

    code = "overloaded"


class TooManyNewSeries(Unavailable):
    """More new series at once than the aggregators can take in without delaying others."""

    code = "too_many_new_series"


class Superseded(TributaryError):
    """Another worker has committed to this partition; what is in memory for it is void."""


class BadFrame(TributaryError):
    """The bytes of a stream entry are not a frame; it can never be applied."""


class Refused(TributaryError):
    """The request breaks a rule of the contract and will never be accepted as it is."""

    def __init__(  # noqa: PLR0913 - it is a record of what the client is told
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
