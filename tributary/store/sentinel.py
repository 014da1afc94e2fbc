"""Which server is the master, according to its sentinels; connections to another one are closed.

A process asks every sentinel of a URL five times per second, each in a thread of its own, so that
one that does not reply delays nothing. That is one mechanism for the start, for a failover and for
missed announcements; a subscription to `+switch-master` would need the same queries each time it
is lost. The newest configuration counts: a sentinel that is cut off from the others names the old
master.
https://redis.io/docs/latest/develop/reference/sentinel-clients/
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import redis
from loguru import logger
from redis.backoff import NoBackoff
from redis.retry import Retry

from tributary.errors import Unavailable
from tributary.store import redis_url
from tributary.store.outage import Outage

_POLL_INTERVAL_S = 0.2
_TIMEOUT_S = 0.5  # of one sentinel; it does nothing else, and replies at once
_FIRST_TIMEOUT_S = 10.0  # until every sentinel has replied or failed once, or most agree

Address = tuple[str, int]
_Owner = TypeVar("_Owner")


class Reply(NamedTuple):
    """What a sentinel says about the master."""

    epoch: int  # of its configuration; the newest one is valid
    address: Address


class Watch:
    """The master behind the sentinels of one URL; the threads end with the last reference to it."""

    def __init__(self, url: str) -> None:
        sentinels = redis_url.sentinels(url)
        assert sentinels is not None, "the caller checks the scheme"
        self._sentinels = sentinels
        self._redacted = redis_url.redacted(url)
        self._begin()

    def master(self) -> Address:
        """The address of the master, as of the last reply; blocks until there has been one.

        Raises:
            Unavailable: no sentinel can be reached, or none knows the name.
        """
        if self._pid != os.getpid():  # forked: the threads are not in this process
            self._begin()
        self._is_decided.wait(_FIRST_TIMEOUT_S)
        if self._known is None:
            raise Unavailable(self._failure)
        return self._known.address

    async def find_url(self) -> str:
        """The URL of the master, without blocking the event loop.

        Raises:
            Unavailable: as `master`.
        """
        is_first = not self._is_decided.is_set()
        address = await asyncio.to_thread(self.master) if is_first else self.master()
        return self.url_of(address)

    def url_of(self, address: Address) -> str:
        """The URL of the master if it is at this address."""
        return self._sentinels.master(*address)

    def guard(self, owner: _Owner, url: str, close: Callable[[_Owner], object]) -> None:
        """Call `close(owner)`, in another thread, when the master is not at this URL any longer.

        Raises:
            Unavailable: that is so already.
        """
        with self._lock:
            if self._known is None or self._sentinels.master(*self._known.address) != url:
                raise Unavailable("the server is not the master any longer; the sentinels say so")
            self._guarded[owner] = url, close

    def replies(self) -> list[Reply | str]:
        """What each sentinel says now, or why it says nothing; for a report.

        Raises:
            Unavailable: as `master`.
        """
        self.master()
        self._have_all_replied.wait(_FIRST_TIMEOUT_S)
        with self._lock:
            return [reply for _, reply in sorted(self._replies.items())]

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._is_decided = threading.Event()
        self._have_all_replied = threading.Event()
        self._known: Reply | None = None
        self._failure = f"{self._redacted}: no sentinel has replied yet"
        self._replies: dict[int, Reply | str] = {}  # number of the sentinel → its last one
        self._guarded: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        self._outage = Outage("sentinels")
        options: dict[str, Any] = {
            "socket_timeout": _TIMEOUT_S,
            "socket_connect_timeout": _TIMEOUT_S,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }
        for number, url in enumerate(self._sentinels.urls):
            client = redis.Redis.from_url(url, **options)
            arguments = weakref.ref(self), number, client
            threading.Thread(
                target=_follow, args=arguments, name=f"sentinel-{number}", daemon=True
            ).start()

    def ask(self, number: int, client: redis.Redis) -> None:
        """Ask one sentinel once (called by its thread)."""
        reply = _ask(client, self._sentinels.name)
        with self._lock:
            self._replies[number] = reply
            replies = [reply for _, reply in sorted(self._replies.items())]
            if len(replies) == len(self._sentinels.urls):
                self._have_all_replied.set()
            elif self._known is None and not has_majority(replies, len(self._sentinels.urls)):
                return  # the others may have a newer configuration
            self._decide(replies)
        self._is_decided.set()

    def _decide(self, replies: list[Reply | str]) -> None:
        newest = choose(self._known, replies)
        if newest is not None:
            self._outage.end()
            self._take(newest)
        elif self._known is not None:  # which is still the best that is known
            self._outage.begin(_joined(replies))
        else:
            self._failure = f"{self._redacted}: {_joined(replies)}"

    def _take(self, newest: Reply) -> None:
        before, self._known = self._known, newest
        if before is None or before.address == newest.address:
            return
        log = logger.bind(action="master_changed", master="{}:{}".format(*newest.address))
        log.warning("the sentinels name another master")
        url = self._sentinels.master(*newest.address)
        for owner, (guarded, close) in list(self._guarded.items()):
            if guarded != url:
                del self._guarded[owner]
                close(owner)


def has_majority(replies: Sequence[Reply | str], sentinels: int) -> bool:
    """Whether most of all sentinels name the same master, in the same configuration."""
    counts = Counter(reply for reply in replies if isinstance(reply, Reply))
    return 2 * max(counts.values(), default=0) > sentinels


def choose(known: Reply | None, replies: Sequence[Reply | str]) -> Reply | None:
    """The reply with the newest configuration; None if no sentinel has named a master.

    An older one than is known counts only if a majority has it: the sentinels were set up again.
    """
    found = [reply for reply in replies if isinstance(reply, Reply)]
    newest = max(found, key=lambda reply: reply.epoch, default=None)
    if known is None or newest is None or newest.epoch >= known.epoch:
        return newest
    return newest if 2 * found.count(newest) > len(replies) else known


_watches: weakref.WeakValueDictionary[str, Watch] = weakref.WeakValueDictionary()
_watches_lock = threading.Lock()


def watch(url: str) -> Watch | None:
    """The watch of a URL, one per process; None if the URL names no sentinels.

    Raises:
        ValueError: the URL names sentinels and is not valid.
    """
    if redis_url.sentinels(url) is None:
        return None
    with _watches_lock:
        found = _watches.get(url)
        if found is None:
            found = _watches[url] = Watch(url)
        return found


def _follow(reference: weakref.ReferenceType[Watch], number: int, client: redis.Redis) -> None:
    while (found := reference()) is not None:
        found.ask(number, client)
        del found
        time.sleep(_POLL_INTERVAL_S)
    client.close()


def _ask(client: redis.Redis, name: str) -> Reply | str:
    """The master that a sentinel names, or why it names none."""
    place = "sentinel {host}:{port}".format(**client.connection_pool.connection_kwargs)
    pipeline = client.pipeline(transaction=False)
    # During a failover the address is that of the new master before MASTER has it.
    pipeline.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)  # type: ignore[no-untyped-call]
    pipeline.execute_command("SENTINEL", "MASTER", name)  # type: ignore[no-untyped-call]
    try:
        address, state = pipeline.execute(raise_on_error=False)
        if address is None:
            return (
                f"{place} does not know a master named {name!r}; correct the name in redis_url, "
                "SENTINEL MASTERS lists those that exist"
            )
        for reply in (address, state):
            if isinstance(reply, redis.RedisError):
                return f"{place}: {reply}"
        fields = dict(zip(state[::2], state[1::2], strict=True))
        return Reply(int(fields[b"config-epoch"]), (address[0].decode(), int(address[1])))
    except redis.RedisError as error:
        return f"{place}: {error}"
    except (LookupError, TypeError, ValueError) as error:  # it is something else, or has no name
        return f"{place}: not the reply of a sentinel: {error!r}"


def _joined(replies: list[Reply | str]) -> str:
    return "; ".join(str(reply) for reply in replies)
