"""The id of a request, `X-Request-Id`: that of the client or proxy, or a new one.

Every response of Flask has it, and every error. A response of the lane to a request that succeeds
does not: nothing is logged about it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from tributary.auth.guard import RequestHeaders
from tributary.log import REQUEST_ID

HEADER = "X-Request-Id"
# Nothing that a log, a header field or a URL would have to quote.
_VALID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def new() -> str:
    """An id that no other request has."""
    return secrets.token_hex(8)


def given(text: str | None) -> str | None:
    """The id that a client sent; None if there is none, or if it is not a valid one."""
    return text if text and _VALID.fullmatch(text) else None


def given_in(head: RequestHeaders | None) -> str | None:
    """The id in a header block."""
    return None if head is None else given(head.field(HEADER))


@contextmanager
def logged(id_: str) -> Iterator[str]:
    """Add an id to every line that is logged meanwhile."""
    token = REQUEST_ID.set(id_)
    try:
        yield id_
    finally:
        REQUEST_ID.reset(token)
