"""What is appended to a stream, as the arguments of one command, and what the reply means. Pure.

Both ways into Redis use it: redis-py under Flask (`append`), the pipe under the lane.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import redis
from redis.exceptions import NoScriptError

from tributary import failpoints
from tributary.errors import BacklogFull, Refused, TributaryError, Unavailable
from tributary.settings import Settings
from tributary.store import keys
from tributary.store.redis_client import failures, is_cluster
from tributary.store.scripts import APPEND
from tributary.store.tail import Tail

_REFUSE_FROM = 0.9  # of the cap
_KEY_REUSED = -2  # what append replies


class Once(NamedTuple):
    """A request that may be sent again: its key, the answer of its retries, its body's digest.

    One key is for one body. Which one is decided in one place, the claim, whose partition
    follows from the key; each partition of the readings remembers by itself that it has its
    part. So a retry completes what is missing and repeats nothing.
    """

    key: str
    answer: bytes
    digest: bytes


class Frame(NamedTuple):
    """Readings of one partition, packed."""

    partition: int
    readings: int
    packed: bytes


def unread_max(settings: Settings) -> int:
    """Entries that may be unread in a partition before more would put the oldest in danger."""
    return int(settings.stream_max_entries * _REFUSE_FROM)


class Appending:
    """How frames are appended under some settings."""

    def __init__(self, settings: Settings) -> None:
        self._max_entries = str(settings.stream_max_entries)
        self._unread_max = str(unread_max(settings) if settings.overflow == "refuse" else 0)
        self._partitions = settings.partitions
        self._claim_ttl_ms = str(settings.idempotency_ttl_ms)
        # A claim that outlived what a partition remembers would let a retry count twice.
        self._once_ttl_ms = str(settings.idempotency_ttl_ms + settings.idempotency_ttl_ms // 10)
        self._wait_ms = settings.redis_timeout_ms // 2  # it must answer before we give it up
        self.tail = Tail(settings.partitions)
        self.is_replicated = settings.durability == "replicated"

    def home(self, once: Once) -> int:
        """The partition that holds the claim of a key."""
        return keys.partition_of(once.key, self._partitions)

    def claim_command(self, once: Once) -> tuple[str | bytes, ...]:
        """The command that claims a key: it returns the digest that has it already, or nil."""
        name = keys.claim(self.home(once), once.key)
        return ("SET", name, once.digest, "NX", "GET", "PX", self._claim_ttl_ms)

    def claims_first(self, frames: list[Frame], once: Once, *, is_cluster: bool) -> bool:
        """Whether a key must be claimed on its own: no script reaches two nodes of a cluster."""
        home = self.home(once)
        return is_cluster and any(frame.partition != home for frame in frames)

    def command(
        self, frame: Frame, once: Once | None = None, *, claims: bool = True
    ) -> tuple[str | bytes, ...]:
        """The command that appends a frame, and claims the key if that is not done yet."""
        partition, readings, packed = frame
        names = [keys.readings(partition), keys.meta(partition)]
        values: list[str | bytes] = [self._max_entries, self._unread_max, str(readings), packed]
        if once is not None:
            names.append(keys.once(partition, once.key))
            values += (self._once_ttl_ms, once.digest, once.answer)
            if claims:
                names.append(keys.claim(self.home(once), once.key))
                values.append(self._claim_ttl_ms)
        return ("EVALSHA", APPEND.sha, str(len(names)), *names, *values)

    def wait_command(self) -> tuple[str, str, str]:
        """The command that waits until a replica has what was appended before it."""
        return ("WAIT", "1", str(self._wait_ms))


def refusal(reply: int) -> TributaryError | None:
    """What the number says that an append has replied, if it was not done."""
    if reply == _KEY_REUSED:
        return key_reused()
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
    """What the number says that a WAIT has replied, if no replica has the readings."""
    if confirmed < 1:
        return Unavailable("no replica has confirmed the readings in time")
    return None


def answered_before(replies: list[Any]) -> bytes | None:
    """The answer of the first time, if every frame of a request had been appended before."""
    if replies and all(isinstance(reply, bytes) for reply in replies):
        first: bytes = replies[0]
        return first
    return None


def append(
    client: redis.Redis, appending: Appending, frames: list[Frame], once: Once | None = None
) -> bytes | None:
    """Append the frames of one request; the answer of the first time if it was sent before.

    Frames of one partition are added whole or not at all; of several, some may be.

    Raises:
        Refused: 422, the key has been used for another body; nothing is added.
        Unavailable: the server cannot take them now.
        ConnectionGone: whether they were added is not known.
    """
    failpoints.reach("before_append")
    claims_first = once is not None and appending.claims_first(
        frames, once, is_cluster=is_cluster(client)
    )
    commands = [appending.command(frame, once, claims=not claims_first) for frame in frames]
    with failures():
        if once is not None and claims_first:
            _claim(client, appending, once)
        replies = _execute(client, commands, appending)
        unknown = [i for i, r in enumerate(replies) if isinstance(r, NoScriptError)]
        if unknown:  # refused before anything was written, so sending again is safe
            client.script_load(APPEND.source)
            again = _execute(client, [commands[i] for i in unknown], appending)
            for i, reply in zip(unknown, again, strict=False):
                replies[i] = reply
            replies[len(commands) :] = again[len(unknown) :]
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
    is_confirmed = not appending.is_replicated or not_replicated(replies[-1]) is None
    for frame, reply in zip(frames, replies, strict=False):
        if is_confirmed and isinstance(reply, list):
            appending.tail.note(frame.partition, reply)
    _check(replies, appending)
    failpoints.reach("after_append")
    return answered_before(replies)


def _claim(client: redis.Redis, appending: Appending, once: Once) -> None:
    """Claim a key of a request whose frames are on other nodes."""
    held = client.execute_command(*appending.claim_command(once), get=True)  # type: ignore[no-untyped-call]
    if held not in (None, once.digest):
        raise key_reused()


def _check(replies: list[Any], appending: Appending) -> None:
    failure: TributaryError | None = (
        not_replicated(replies.pop()) if appending.is_replicated else None
    )
    for reply in replies:
        if isinstance(reply, int):
            failure = refusal(reply) or failure
    if failure is not None:
        raise failure


def _execute(
    client: redis.Redis, commands: list[tuple[str | bytes, ...]], appending: Appending
) -> list[Any]:
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
    if appending.is_replicated:
        # A WAIT has no key: on a cluster, where it would have to go is not known (checked at start).
        pipeline.execute_command(*appending.wait_command())  # type: ignore[no-untyped-call]
    return pipeline.execute(raise_on_error=False)
