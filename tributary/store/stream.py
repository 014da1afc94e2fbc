"""Appending frames: the command for one frame, and what its reply means.

Both ways into Redis use it: redis-py behind Flask (`append`), and the pipes of the lane.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import redis

from tributary import failpoints
from tributary.errors import BacklogFull, Refused, TributaryError, Unavailable
from tributary.settings import Settings
from tributary.store import keys, scripts
from tributary.store.redis_client import failures
from tributary.store.scripts import Command
from tributary.store.tail import Tail
from tributary.store.topology import is_cluster

_REJECT_FROM = 0.9  # of the cap
_KEY_REUSED, _NOT_ARCHIVED = -2, -3  # replies of append


class Idempotency(NamedTuple):
    """A request that may be retried: its idempotency key, its response, the digest of its body.

    One key is for one body. The claim decides which, in the partition that follows from the key;
    each partition of the readings remembers by itself that it has its frame. So a retry adds the
    missing frames and repeats none.
    """

    key: str
    response: bytes  # its body
    digest: bytes


class Frame(NamedTuple):
    """Readings of one partition, packed."""

    partition: int
    readings: int
    packed: bytes


def unread_max(settings: Settings) -> int:
    """Unread entries per partition above which appending more could trim the oldest of them.

    Negative if entries that are not in the history count, too; see `lua/append.lua`.
    """
    entries = int(settings.stream_max_entries * _REJECT_FROM)
    return -entries if settings.history == "required" else entries


class Appender:
    """Builds the commands that append frames, and keeps the last numbers acknowledged."""

    def __init__(self, settings: Settings) -> None:
        self._max_entries = str(settings.stream_max_entries)
        self._unread_max = str(unread_max(settings) if settings.overflow == "refuse" else 0)
        self._partitions = settings.partitions
        self._claim_ttl_ms = str(settings.idempotency_ttl_ms)
        # If the claim outlived what a partition remembers, a retry could count twice.
        self._response_ttl_ms = str(settings.idempotency_ttl_ms + settings.idempotency_ttl_ms // 10)
        # Waits until a replica has what was appended before; must reply before a request times out.
        self.wait_command: Command = ("WAIT", "1", str(settings.redis_timeout_ms // 2))
        self.tail = Tail(settings.partitions)
        self.is_replicated = settings.durability == "replicated"

    def home(self, idempotency: Idempotency) -> int:
        """The partition that holds the claim of a key."""
        return keys.partition_of(idempotency.key, self._partitions)

    def claim_command(self, idempotency: Idempotency) -> Command:
        """The command that claims a key: its reply is the digest that holds it, or nil."""
        name = keys.claim(self.home(idempotency), idempotency.key)
        return ("SET", name, idempotency.digest, "NX", "GET", "PX", self._claim_ttl_ms)

    def claims_first(
        self, frames: list[Frame], idempotency: Idempotency, *, is_cluster: bool
    ) -> bool:
        """Whether a key must be claimed by its own command: no script spans two cluster nodes."""
        home = self.home(idempotency)
        return is_cluster and any(frame.partition != home for frame in frames)

    def command(self, frame: Frame) -> Command:
        """The command that appends a frame."""
        return scripts.append(
            frame[0],
            max_entries=self._max_entries,
            unread_max=self._unread_max,
            readings=frame[1],
            frame=frame[2],
        )

    def idempotent_command(
        self, frame: Frame, idempotency: Idempotency, *, claims: bool
    ) -> Command:
        """The command that appends a frame once, and claims the key unless that is done."""
        return scripts.append_once(
            frame.partition,
            max_entries=self._max_entries,
            unread_max=self._unread_max,
            readings=frame.readings,
            frame=frame.packed,
            key=idempotency.key,
            ttl_ms=self._response_ttl_ms,
            digest=idempotency.digest,
            response=idempotency.response,
            claim=(self.home(idempotency), self._claim_ttl_ms) if claims else None,
        )


def refusal(reply: int) -> TributaryError | None:
    """The exception for the number that append replied, if nothing was appended."""
    if reply == _KEY_REUSED:
        return key_reused()
    if reply == _NOT_ARCHIVED:
        return BacklogFull(
            "the history is too far behind, and history is required: a new entry could be trimmed "
            "before it is in the history; start or check `tributary jobs` and its database"
        )
    return BacklogFull() if reply < 0 else None


def key_reused() -> Refused:
    """422: one key is for one body."""
    return Refused(
        "the Idempotency-Key was used for another body within the last minutes; send a new key "
        "with a new body, and the same body with a retry",
        status=422,
        code="key_reused",
    )


def not_replicated(confirmed: int) -> Unavailable | None:
    """The exception for the number that WAIT replied, if no replica has the readings."""
    return None if confirmed else Unavailable("no replica has confirmed the readings in time")


def first_response(replies: list[Any]) -> bytes | None:
    """The first response, if every frame of a request had been appended before."""
    return replies[0] if replies and all(isinstance(reply, bytes) for reply in replies) else None


def append(
    client: redis.Redis,
    appender: Appender,
    frames: list[Frame],
    idempotency: Idempotency | None = None,
) -> bytes | None:
    """Append the frames of one request; return its first response if it is a repetition.

    Each frame is appended as a whole or not at all; of several frames, only some may be.

    Raises:
        Refused: 422, the key was used for another body; nothing is appended.
        Unavailable: the server cannot accept them now.
        ConnectionGone: they may have been appended.
    """
    failpoints.reach("before_append")
    # Where a WAIT would have to go on a cluster depends on the commands (rejected at start).
    wait = appender.wait_command if appender.is_replicated else None
    with failures():
        replies = scripts.execute(client, _commands(client, appender, frames, idempotency), wait)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
    failure: TributaryError | None = None if wait is None else not_replicated(replies.pop())
    is_confirmed = failure is None
    for frame, reply in zip(frames, replies, strict=True):
        if isinstance(reply, int):
            failure = refusal(reply) or failure
        elif is_confirmed and isinstance(reply, list):
            appender.tail.note(frame.partition, reply)
    if failure is not None:
        raise failure
    failpoints.reach("after_append")
    return first_response(replies)


def _commands(
    client: redis.Redis, appender: Appender, frames: list[Frame], idempotency: Idempotency | None
) -> list[Command]:
    """The commands that append frames; on a cluster the key may have to be claimed before."""
    if idempotency is None:
        return [appender.command(frame) for frame in frames]
    claims_first = appender.claims_first(frames, idempotency, is_cluster=is_cluster(client))
    if claims_first:
        held = client.execute_command(*appender.claim_command(idempotency), get=True)  # type: ignore[no-untyped-call]
        if held not in (None, idempotency.digest):
            raise key_reused()
    return [
        appender.idempotent_command(frame, idempotency, claims=not claims_first) for frame in frames
    ]
