"""What is appended to a stream, as the arguments of one command, and what the reply means. Pure.

Both ways into Redis use it: redis-py under Flask (`append`), the pipe under the lane.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import redis
from redis.exceptions import NoScriptError

from tributary import faults, keys
from tributary.connection import failures
from tributary.errors import BacklogFull, Unavailable
from tributary.lua import APPEND
from tributary.settings import Settings
from tributary.tail import Tail

_REFUSE_FROM = 0.9  # of the cap


class Once(NamedTuple):
    """A request that may be sent again: its key, and the answer that its retries get."""

    key: str
    answer: bytes


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
        self._once_ttl_ms = str(settings.once_ttl_ms)
        self._wait_ms = settings.redis_timeout_ms // 2  # it must answer before we give it up
        self.tail = Tail(settings.partitions)
        self.is_replicated = settings.durability == "replicated"

    def command(self, frame: Frame, once: Once | None = None) -> tuple[str | bytes, ...]:
        """The command that appends a frame."""
        partition, readings, packed = frame
        names = [keys.readings(partition), keys.meta(partition)]
        values: list[str | bytes] = [self._max_entries, self._unread_max, str(readings), packed]
        if once is not None:
            names.append(keys.once(partition, once.key))
            values += (self._once_ttl_ms, once.answer)
        return ("EVALSHA", APPEND.sha, str(len(names)), *names, *values)

    def wait_command(self) -> tuple[str, str, str]:
        """The command that waits until a replica has what was appended before it."""
        return ("WAIT", "1", str(self._wait_ms))


def refusal(reply: int) -> Unavailable | None:
    """What the number says that an append has replied, if it was not done."""
    return BacklogFull() if reply < 0 else None


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
        Unavailable: the server cannot take them now.
        ConnectionGone: whether they were added is not known.
    """
    faults.reach("before_append")
    commands = [appending.command(frame, once) for frame in frames]
    with failures():
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
    for frame, reply in zip(frames, replies, strict=False):
        if isinstance(reply, list):
            appending.tail.note(frame.partition, reply)
    _check(replies, appending)
    faults.reach("after_append")
    return answered_before(replies)


def _check(replies: list[Any], appending: Appending) -> None:
    failure = not_replicated(replies.pop()) if appending.is_replicated else None
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
