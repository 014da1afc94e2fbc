"""The interface of a front door: one protocol that readings arrive by.

Admission is the same for every door: token, content encoding, rates, caps and counting. A door
decides only what differs between protocols. Both front ends, the lane (`ingest/recorder.py`) and
Flask (`ingest/app.py`), serve every door listed in `ingest/doors/__init__.py`.

Malformed HTTP, unknown paths and bugs have the standard error body, whatever the door.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol

from ingest.batch import Batch
from ingest.limits import Rules
from tributary.auth.guard import RequestHeaders
from tributary.errors import Refused
from tributary.http.flask_app import HttpError
from tributary.http.response import Response


class Mount(NamedTuple):
    """A path of a door. `{name}` stands for one path segment, a parameter of the request.

    The lane serves requests without a query string, and those whose query string matches
    `lane_query`. Flask serves all others.
    """

    path: str
    methods: tuple[str, ...] = ("POST",)
    lane_query: str = ""


class Query(dict[str, str]):
    """Parameters of the query string and of the path; the path and the last one win."""

    repeated: tuple[str, ...] = ()  # names that the query string has more than once


def skips_errors(query: Query) -> bool:
    """Whether bad readings are left out instead of rejecting the request: `on_error=skip`.

    Raises:
        Refused: 400 for any other value than `skip` and `refuse`.
    """
    on_error = query.get("on_error", "refuse")
    if on_error not in ("refuse", "skip"):
        raise Refused(
            f"unsupported on_error={on_error!r:.40}; use skip, or omit it",
            status=400,
            code="invalid_on_error",
            field="on_error",
        )
    return on_error == "skip"


class Request(Protocol):
    """A request, from the lane or from Flask."""

    body: bytes  # after content decoding

    @property
    def head(self) -> RequestHeaders:
        """The header fields; `head.field(name)` finds any of them."""

    query: Query  # without the parameters of the body


class Single(NamedTuple):
    """How a door handles the usual request, one reading of a known device, with least overhead.

    `parse` gets the body, its time of arrival and the rules, and returns the partition, the reading
    and whether its series were counted before; anything else, or an exception, means that the
    request is not the usual one, and is left to `Door.parse`.
    """

    parse: Callable[[bytes, int, Rules], Any]
    response: Response  # once Redis has the reading


class Door(ABC):
    """One protocol. The defaults are the conventions of `/record`."""

    name: ClassVar[str]
    mounts: ClassVar[tuple[Mount, ...]]
    # Finds the token of a request, if one is required; None: it is in the Authorization header, or
    # without one in the parameter `token`.
    # Raises tokens.unauthorized, or returns an empty string, if there is none.
    secret: Callable[[Request], str] | None = None
    # Whether `secret` reads the body, which is then decompressed before the token is checked.
    secret_in_body: ClassVar[bool] = False
    # Whether no token is required: nothing is stored and nothing is revealed.
    is_public: ClassVar[bool] = False

    # Whether a token for one device is the device of requests that contain none: then `parse` finds
    # it as the parameter `device`.
    has_device_of_token: ClassVar[bool] = False
    # Whether none of these is set: the token is looked for only in the header and the query.
    is_ordinary: ClassVar[bool] = True

    # For requests without a query string whose `head.is_plain` the door has set.
    single: ClassVar[Single | None] = None

    def __init_subclass__(cls) -> None:
        cls.is_ordinary = not (cls.secret or cls.is_public or cls.has_device_of_token)

    @abstractmethod
    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Convert a request to readings; one without any is accepted and stores nothing.

        For partial acceptance, leave bad readings out and list them in `Batch.rejected`. For safe
        retries, set `Batch.idempotency_key` from wherever the protocol has it.

        Raises:
            Refused: the whole request is rejected.
        """

    @abstractmethod
    def ok(self, batch: Batch) -> Response:
        """The response once Redis has the readings; after partial acceptance it may be an error."""

    def duplicate(self, body: bytes) -> Response:
        """The response to a retry; `body` is that of the first response."""
        return Response(body)

    def error(self, error: HttpError) -> Response:
        """The response when nothing was stored, or when that is unknown."""
        return Response(error.body, error.status, headers=tuple(error.headers.items()))
