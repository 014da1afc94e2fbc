"""Commands that a node of a cluster has rejected because their slot is elsewhere, or is moving.

Redis rejects them before anything is executed, so sending them again counts nothing twice. While
the keys of a slot move, some are on each of two nodes: a command for one that has moved gets ASK,
one for keys on both TRYAGAIN, as does one with a key that does not exist; then MOVED.
https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#ask-redirection
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import hiredis

from tributary.store import scripts
from tributary.store.pipe import OnReply, Pipe, Reply, pack

_ASKING = pack(("ASKING",))
_CODES = ("MOVED ", "ASK ", "TRYAGAIN ")
# Of what the command has waited already, until it is sent again; many wait while a slot moves.
_PAUSE_SHARE, _PAUSE_MIN_S, _PAUSE_MAX_S = 0.5, 0.02, 0.2


class Target(NamedTuple):
    """Where to send a command again."""

    pipe: Pipe
    is_asked: bool = False  # the slot is moving to this node, which rejects commands without ASKING

    def commands(self, packed: bytes, on_reply: OnReply) -> list[tuple[bytes, OnReply]]:
        """What to send, in one write."""
        if not self.is_asked:
            return [(packed, on_reply)]
        # With the source of its script: a retry of the pipe would lack ASKING.
        return [(_ASKING, _ignore), (scripts.packed_with_source(packed), on_reply)]


class Redirects:
    """Sends commands again, until a time limit."""

    def __init__(
        self,
        limit_s: float,
        pipe_of: Callable[[int], Pipe],
        asked: Callable[[int, str], Pipe | None],
    ) -> None:
        """`pipe_of`: partition → its connection; `asked`: that to the node of an ASK, if open."""
        self._limit_s = limit_s
        self._pipe_of = pipe_of
        self._asked = asked

    def again(
        self,
        partition: int,
        reply: Reply,
        since_s: float,
        then: Callable[[Target], None],
        *,
        asks: bool = True,
    ) -> bool:
        """Call `then` when to send a command again; False: it must not be, or not any longer.

        `since_s`: when it was rejected first, by the clock of the event loop. `asks`: whether it
        may be sent to a node that does not hold the partition yet.
        """
        if type(reply) is not hiredis.ReplyError or not is_redirect(reply):
            return False
        loop = asyncio.get_running_loop()
        waited_s = loop.time() - since_s
        if waited_s > self._limit_s:
            return False
        text = str(reply)
        is_asked = asks and text.startswith("ASK ")
        if is_asked and (pipe := self._asked(partition, text)) is not None:
            loop.call_soon(then, Target(pipe, is_asked=True))
        else:
            pause_s = min(max(waited_s * _PAUSE_SHARE, _PAUSE_MIN_S), _PAUSE_MAX_S)
            loop.call_later(pause_s, lambda: then(Target(self._pipe_of(partition))))
        return True

    def on_reply(
        self, partition: int, packed: bytes, on_reply: OnReply, *, asks: bool = True
    ) -> OnReply:
        """A callback for the reply to a command that sends it again where that is needed."""
        return _Attempt(self, partition, packed, on_reply, asks=asks).check


class _Attempt:
    """A command that may be sent again.

    Closures that refer to each other would leave each command to the garbage collector.
    """

    __slots__ = ("_asks", "_on_reply", "_packed", "_partition", "_redirects", "_since_s")

    def __init__(
        self,
        redirects: Redirects,
        partition: int,
        packed: bytes,
        on_reply: OnReply,
        *,
        asks: bool,
    ) -> None:
        self._redirects, self._partition, self._packed = redirects, partition, packed
        self._on_reply, self._asks = on_reply, asks
        self._since_s: float | None = None

    def check(self, reply: Reply) -> None:
        """Send it again, or pass the reply on."""
        if type(reply) is hiredis.ReplyError:
            self._since_s = self._since_s or asyncio.get_running_loop().time()
            again = self._redirects.again
            if again(self._partition, reply, self._since_s, self._send, asks=self._asks):
                return
        self._on_reply(reply)

    def _send(self, target: Target) -> None:
        target.pipe.write(target.commands(self._packed, self.check))


def is_redirect(reply: Reply) -> bool:
    """Whether a node has not executed a command because of where its slot is."""
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith(_CODES)


def _ignore(_reply: Reply) -> None:
    pass
