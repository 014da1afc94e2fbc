"""Appending frames: the commands, and what their replies mean.

Both ways into Redis use it: redis-py behind Flask (`append`), and the pipes of the lane.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import redis

from tributary import failpoints
from tributary.errors import BacklogFull, Refused, TributaryError, Unavailable
from tributary.settings import Settings
from tributary.store import keys, scripts
from tributary.store.redis_client import failures
from tributary.store.scripts import Command
from tributary.store.tail import Tail
from tributary.store.topology import is_cluster, server_of

_REJECT_FROM = 0.9  # of the cap
_KEY_REUSED, _NOT_ARCHIVED = -2, -3  # replies of append
# Of one script call, so that others wait for it for less than a millisecond. A frame of more
# bytes has its own.
CALL_MAX_FRAMES, CALL_MAX_BYTES = 64, 262_144
_Owner = TypeVar("_Owner")


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
        self._wait_replicas = settings.wait_replicas
        # Waits until replicas have what was appended before; must reply before a request times out.
        timeout_ms = str(settings.redis_timeout_ms // 2)
        self.wait_command: Command = ("WAIT", str(self._wait_replicas), timeout_ms)
        self.tail = Tail(settings.partitions)
        self.is_replicated = settings.durability == "replicated"

    def not_replicated(self, confirmed: int) -> Unavailable | None:
        """The exception for the number that WAIT replied, if too few replicas have what was written."""
        if confirmed >= self._wait_replicas:
            return None
        needed = self._wait_replicas
        counted = f"{confirmed} of {needed} replicas have" if needed > 1 else "no replica has"
        return Unavailable(f"{counted} confirmed it in time")

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

    def command(self, frames: Sequence[Frame]) -> Command:
        """The command that appends the frames of one call."""
        return scripts.append(frames, max_entries=self._max_entries, unread_max=self._unread_max)

    def idempotent_command(
        self, frame: Frame, idempotency: Idempotency, *, claims: bool
    ) -> Command:
        """The command that appends a frame once, and claims the key unless that is done."""
        return scripts.append_once(
            frame,
            max_entries=self._max_entries,
            unread_max=self._unread_max,
            key=idempotency.key,
            ttl_ms=self._response_ttl_ms,
            digest=idempotency.digest,
            response=idempotency.response,
            claim=(self.home(idempotency), self._claim_ttl_ms) if claims else None,
        )


def calls(
    frames: list[tuple[Frame, _Owner]], *, is_cluster: bool
) -> list[list[tuple[Frame, _Owner]]]:
    """Divide frames, and what belongs to each, into script calls.

    On a cluster a call is for one partition, since a script cannot use two slots.
    """
    held_bytes = 0
    for frame, _ in frames:
        held_bytes += len(frame[2])
    if not is_cluster and len(frames) <= CALL_MAX_FRAMES and held_bytes <= CALL_MAX_BYTES:
        return [frames] if frames else []  # fast code: most flushes
    done: list[list[tuple[Frame, _Owner]]] = []
    filling: dict[int, tuple[list[tuple[Frame, _Owner]], int]] = {}
    for each in frames:
        partition, _, packed = each[0]
        slot = partition if is_cluster else 0
        call, held_bytes = filling.get(slot, ([], 0))
        held_bytes += len(packed)
        if not call or len(call) >= CALL_MAX_FRAMES or held_bytes > CALL_MAX_BYTES:
            call, held_bytes = [], len(packed)
            done.append(call)
        call.append(each)
        filling[slot] = call, held_bytes
    return done


def results(reply: Any, frames: int) -> list[Any]:
    """What became of each frame of a call: its two numbers, or the reason why it was not appended.

    A reason is a negative number (see `refusal`), an error reply, or the first response.
    """
    if type(reply) is not list:
        return [reply] * frames
    return [
        reply[at : at + 2] if type(reply[at]) is int and reply[at] > 0 else reply[at]
        for at in range(0, len(reply), 2)
    ]


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


def first_response(replies: list[Any]) -> bytes | None:
    """The first response, if every frame of a request had been appended before."""
    return replies[0] if replies and all(isinstance(reply, bytes) for reply in replies) else None


def execute_confirmed(client: redis.Redis, settings: Settings, key: str, command: Command) -> Any:
    """Execute a script call, at `replicated` until replicas have what it wrote; the reply.

    Args:
        client: of the deployment.
        settings: with the level of durability.
        key: one of those that it writes, which are of one slot on a cluster.
        command: the call.

    Raises:
        Unavailable: the server cannot execute it now, or it was executed and is not confirmed.
        ConnectionGone: it may have been executed.
    """
    appender = Appender(settings)
    with failures():
        if not appender.is_replicated:
            return scripts.run(client, command)
        server = server_of(client, key)  # a WAIT is for what its connection has written
        replies = scripts.execute(server, [command], appender.wait_command)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
    if (failure := appender.not_replicated(replies[1])) is not None:
        raise failure
    return replies[0]


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
    with failures():
        outcomes, confirmed = _execute(client, appender, frames, idempotency)
    failure: TributaryError | None = None
    if confirmed is not None:
        failure = appender.not_replicated(confirmed)
    is_confirmed = failure is None
    for frame, result in outcomes:
        if isinstance(result, int):
            failure = refusal(result) or failure
        elif is_confirmed and isinstance(result, list):
            appender.tail.note(frame.partition, result)
    if failure is not None:
        raise failure
    failpoints.reach("after_append")
    return first_response([result for _, result in outcomes])


def _execute(
    client: redis.Redis, appender: Appender, frames: list[Frame], idempotency: Idempotency | None
) -> tuple[list[tuple[Frame, Any]], int | None]:
    """What became of each frame, and how many replicas have confirmed them (None: not asked)."""
    # Where a WAIT would have to go on a cluster depends on the commands (rejected at start).
    wait = appender.wait_command if appender.is_replicated else None
    sent = _commands(client, appender, frames, idempotency)
    replies = scripts.execute(client, [command for _, command in sent], wait)
    confirmed = None if wait is None else replies.pop()
    outcomes = [
        (frame, result)
        for (call, _), reply in zip(sent, replies, strict=True)
        for frame, result in zip(call, results(reply, len(call)), strict=True)
    ]
    for reply in (confirmed, *(result for _, result in outcomes)):
        if isinstance(reply, Exception):
            raise reply
    return outcomes, confirmed


def _commands(
    client: redis.Redis, appender: Appender, frames: list[Frame], idempotency: Idempotency | None
) -> list[tuple[list[Frame], Command]]:
    """The frames of each call; on a cluster the key may have to be claimed before."""
    on_cluster = is_cluster(client)
    if idempotency is None:
        divided = calls([(frame, None) for frame in frames], is_cluster=on_cluster)
        called = [[frame for frame, _ in call] for call in divided]
        return [(call, appender.command(call)) for call in called]
    claims_first = appender.claims_first(frames, idempotency, is_cluster=on_cluster)
    if claims_first:
        held = client.execute_command(*appender.claim_command(idempotency), get=True)  # type: ignore[no-untyped-call]
        if held not in (None, idempotency.digest):
            raise key_reused()
    return [
        ([frame], appender.idempotent_command(frame, idempotency, claims=not claims_first))
        for frame in frames
    ]
