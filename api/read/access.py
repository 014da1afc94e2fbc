"""Who may read what: the one place where a request of the read API meets the guard.

Before each request `require_scope` keeps its token; `check` and `covers` then decide what may be read.
Without a token everything may: the guard lets nobody pass so where tokens are asked for.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import g

from tributary.auth.guard import Guard
from tributary.auth.tokens import Scope
from tributary.http import flask_app

_SCOPE: Scope = "collect"


def require_scope(guard: Guard) -> Callable[[], None]:
    """A `before_request` that keeps the token of the request for `check` and `covers`."""
    return flask_app.require_scope(guard, _SCOPE)


def check(device: str) -> None:
    """Let a request pass that may read a device.

    Raises:
        Refused: 403.
    """
    if g.token is not None:
        g.token.check(_SCOPE, [device])


def narrowed(prefix: str) -> str | None:
    """The prefix of what a request may see of the devices with this prefix; None for nothing."""
    if g.token is None:
        return prefix
    narrow: str | None = g.token.narrowed(prefix)
    return narrow


def covers() -> Callable[[str], bool] | None:
    """Which devices the request may see in a list; None for all."""
    return None if g.token is None or g.token.is_for_all else g.token.covers
