"""A simulated network in front of a real server: late, lost and interrupted, as the seed says.

The server executes one command at a time, when the simulation says so, and with the time of the
simulation. A blocking read is made by the simulation: the server is asked again after each write.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import random
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis

from faults import simulated_scripts
from faults.simulated_loop import BEGIN_S, SimulatedLoop
from tributary.store.pipe import pack

_NIL, _OK = b"*-1\r\n", b"+OK\r\n"
# Most delays are those of a local network; some are those of a busy one.
_DELAYS_S = ((0.00005, 0.0005), (0.001, 0.03), (0.3, 2.0))
_DELAY_WEIGHTS = (960, 35, 5)

process: contextvars.ContextVar[SimulatedProcess] = contextvars.ContextVar("process")


class SimulatedProcess:
    """What one process has: its tasks and connections, and until when it is suspended."""

    def __init__(self) -> None:
        self.is_dead = False
        self.suspended_until_s = 0.0
        self.tasks: list[asyncio.Task[Any]] = []
        self.connections: list[Connection] = []

    def kill(self) -> None:
        """End it at once: nothing that it does from now on has an effect."""
        self.is_dead = True
        for connection in self.connections:
            connection.interrupt()
        for task in self.tasks:
            task.cancel()


class Network:
    """Connections to one server."""

    def __init__(self, loop: SimulatedLoop, path: str, chance: random.Random) -> None:
        self.loop, self.chance = loop, chance
        self.commands = 0
        self._trace = hashlib.sha256()
        self._parked: list[Connection] = []
        self._reader = hiredis.Reader()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        loads = simulated_scripts.loads()
        self._roundtrip(b"".join(loads), replies=len(loads))
        loop.network = self
        loop.set_task_factory(cast(Any, _create_task))

    def close(self) -> None:
        """Close the connection to the server."""
        self._socket.close()

    @property
    def trace(self) -> str:
        """A digest of every command so far, with its time: equal for equal seeds."""
        return self._trace.hexdigest()

    def connect(
        self, factory: Callable[[], asyncio.Protocol]
    ) -> tuple[Connection, asyncio.Protocol]:
        """A connection of the current process."""
        owner = process.get()
        if owner.is_dead:
            raise OSError("the process is dead")
        protocol = factory()
        connection = Connection(self, owner, protocol)
        owner.connections = [one for one in owner.connections if not one.is_closing()]
        owner.connections.append(connection)
        protocol.connection_made(connection)
        return connection, protocol

    def delay_s(self) -> float:
        """How long something takes on its way."""
        return self.chance.uniform(*self.chance.choices(_DELAYS_S, _DELAY_WEIGHTS)[0])

    def call(self, *command: Any) -> Any:
        """Execute a command now, and return its reply."""
        reader = hiredis.Reader()
        reader.feed(self.execute([*hiredis_words(pack(command))]))
        reply = reader.gets()
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def execute(self, command: list[bytes]) -> bytes:
        """Execute a command now; the bytes of its reply."""
        self.commands += 1
        self._trace.update(b"%r %d %b\n" % (round(self.loop.now_s, 7), len(command), command[0]))
        if command[0] in (b"EVAL", b"EVALSHA"):
            clock, call = simulated_scripts.with_clock(command, BEGIN_S + self.loop.now_s)
            reply = self._roundtrip(clock + call, replies=2).removeprefix(_OK)
        else:
            reply = self._roundtrip(pack(tuple(command)))
        if self._parked and command[0] != b"XREADGROUP":
            # Only a write to the stream ends a blocking read, and scripts name all their keys.
            for parked in [one for one in self._parked if one.reads_from in command]:
                parked.ask_again()
        return reply

    def park(self, connection: Connection) -> None:
        """Ask the server again for this connection after each command of another."""
        self._parked.append(connection)

    def unpark(self, connection: Connection) -> None:
        """Ask no more."""
        self._parked.remove(connection)

    def _roundtrip(self, packed: bytes, replies: int = 1) -> bytes:
        """Send commands; their replies."""
        self._socket.sendall(packed)
        raw = b""
        while replies:
            data = self._socket.recv(1 << 16)
            raw += data
            self._reader.feed(data)
            while self._reader.gets() is not False:
                replies -= 1
        return raw


class Connection(asyncio.Transport):
    """One connection: commands arrive, and replies return, in order and late."""

    def __init__(
        self, network: Network, owner: SimulatedProcess, protocol: asyncio.Protocol
    ) -> None:
        super().__init__()
        self._network, self._owner, self._protocol = network, owner, protocol
        self._reader = hiredis.Reader()
        self._arrives_s = self._returns_s = 0.0
        self._waiting: deque[list[bytes]] = deque()  # behind a blocking read
        self._replies: deque[bytes] = deque()
        self._blocked: tuple[list[bytes], asyncio.TimerHandle] | None = None
        self._is_closed = False
        self._lost_from_s = float("inf")  # what arrives from then on does not
        # Of the process: a reply may be caused by a command of another.
        self._context = contextvars.copy_context()

    @property
    def reads_from(self) -> bytes:
        """The stream of the blocking read."""
        assert self._blocked is not None
        return self._blocked[0][-2]

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self._is_closed

    def write(self, data: Any) -> None:
        """Send commands."""
        if self._is_closed or self._owner.is_dead:
            return
        loop = self._network.loop
        self._reader.feed(data)
        while (command := self._reader.gets()) is not False:
            at_s = max(self._arrives_s, loop.now_s, self._owner.suspended_until_s)
            self._arrives_s = at_s + self._network.delay_s()
            self._call_at(self._arrives_s, self._receive, command)

    def abort(self) -> None:
        """Close; what was sent may still arrive."""
        self.close()

    def close(self) -> None:
        """Close; what was sent may still arrive."""
        self._end(None)

    def interrupt(self) -> None:
        """Lose the connection, and perhaps what is under way."""
        loop, chance = self._network.loop, self._network.chance
        self._lost_from_s = chance.choice((0.0, chance.uniform(loop.now_s, self._arrives_s)))
        self._end(ConnectionResetError("interrupted"))

    def ask_again(self) -> None:
        """Repeat a blocking read, because something was executed."""
        assert self._blocked is not None
        command, timer = self._blocked
        reply = self._network.execute(command)
        if reply != _NIL:
            timer.cancel()
            self._unblock(reply)

    def _call_at(self, at_s: float, call: Callable[..., None], *args: Any) -> asyncio.TimerHandle:
        return self._network.loop.call_at(at_s, call, *args, context=self._context)

    def _end(self, error: Exception | None) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._blocked is not None:
            self._blocked[1].cancel()
            self._blocked = None
            self._network.unpark(self)
            self._waiting.clear()
        self._network.loop.call_soon(self._protocol.connection_lost, error, context=self._context)

    def _receive(self, command: list[bytes]) -> None:
        if self._network.loop.now_s >= self._lost_from_s:
            return
        self._waiting.append(command)
        self._execute_waiting()

    def _execute_waiting(self) -> None:
        while self._waiting and self._blocked is None:
            command = self._waiting.popleft()
            block = command.index(b"BLOCK") if b"BLOCK" in command[:12] else 0
            if not block:
                self._reply(self._network.execute(command))
                continue
            read = command[:block] + command[block + 2 :]
            reply = self._network.execute(read)
            if reply != _NIL or self._is_closed:
                self._reply(reply)
                continue
            wait_s = int(command[block + 1]) / 1000
            timer = self._call_at(self._network.loop.now_s + wait_s, self._unblock, _NIL)
            self._blocked = read, timer
            self._network.park(self)

    def _unblock(self, reply: bytes) -> None:
        self._blocked = None
        self._network.unpark(self)
        self._reply(reply)
        self._execute_waiting()

    def _reply(self, reply: bytes) -> None:
        at_s = max(self._returns_s, self._network.loop.now_s, self._owner.suspended_until_s)
        self._returns_s = at_s + self._network.delay_s()
        self._replies.append(reply)
        self._call_at(self._returns_s, self._deliver)

    def _deliver(self) -> None:
        """Deliver the oldest reply, or wait until the process goes on."""
        until_s = self._owner.suspended_until_s
        if self._network.loop.now_s < until_s:
            self._call_at(until_s, self._deliver)
            return
        reply = self._replies.popleft()
        if not self._is_closed:
            self._protocol.data_received(reply)


def hiredis_words(packed: bytes) -> list[bytes]:
    """The words of a packed command."""
    reader = hiredis.Reader()
    reader.feed(packed)
    return cast(list[bytes], reader.gets())


def _create_task(loop: Any, coroutine: Any, context: Any = None, **_: Any) -> asyncio.Task[Any]:
    """Create a task, and note whose it is."""
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, context=context)
    owner = (context or contextvars.copy_context()).get(process)
    if owner is not None:
        owner.tasks = [one for one in owner.tasks if not one.done()]
        owner.tasks.append(task)
    return task
