"""Checks the token of a request against the devices it reads.

`require_scope` keeps the token before each request; the other functions look at it. Without a
token everything may be read: where tokens are required, the guard has rejected the request.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import g

from tributary.auth.guard import Guard
from tributary.auth.tokens import Scope
from tributary.http import flask_app

_SCOPE: Scope = "collect"


def require_scope(guard: Guard) -> Callable[[], None]:
    """A `before_request` that keeps the token of the request."""
    return flask_app.require_scope(guard, _SCOPE)


def check(device: str) -> None:
    """Raise unless the request may read the device.

    Raises:
        Refused: 403.
    """
    if g.token is not None:
        g.token.check(_SCOPE, [device])


def narrowed(prefix: str) -> str | None:
    """The prefix that covers all devices with this prefix that the token may read, or None."""
    if g.token is None:
        return prefix
    narrow: str | None = g.token.narrowed(prefix)
    return narrow


def covers() -> Callable[[str], bool] | None:
    """Whether the request may list a device; None if it may list all."""
    return None if g.token is None or g.token.is_for_all else g.token.covers
