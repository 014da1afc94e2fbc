"""The scripts that run inside Redis: one `.lua` file and one function for each.

A function returns the command that calls its script, so the order of KEYS and ARGV is written
once, here. All commands are EVALSHA. Redis forgets scripts when it restarts, fails over or
executes SCRIPT FLUSH; it then rejects the command with NOSCRIPT before anything is executed, and
the command is sent once more with the source of its script, which also caches it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import resources
from itertools import chain
from typing import Any

import redis
from redis.exceptions import NoScriptError

from tributary.store import keys, packed

Command = tuple[str | bytes, ...]
Values = Sequence[str | bytes]
_PARTITIONS_CACHED = 1_024  # whose names are not built again for every commit
_PACKED = b"$7\r\nEVALSHA\r\n$40\r\n"  # how the name of a packed command begins


class Script:
    """One `.lua` file: its source and the SHA-1 digest that names it in Redis."""

    def __init__(self, name: str) -> None:
        self.source = resources.files(__package__).joinpath("lua", f"{name}.lua").read_bytes()
        self.sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()


SCRIPTS = {
    name: Script(name)
    for name in (
        "account", "alive", "append", "attempt", "begin_tenure", "commit", "copy_entries",
        "count_lost", "due_series", "enqueue_job", "ensure_rows", "forget", "heartbeat", "hold_lease",
        "raise_format", "read_series", "release_lease", "replay", "report_tail", "requeue_job",
        "scan_rows", "swap_stream",
    )
}  # fmt: skip
_APPEND_SHA = SCRIPTS["append"].sha
_SOURCES = {script.sha: script.source for script in SCRIPTS.values()}


def account(partition: int, *, fields: Sequence[str]) -> Command:
    """Read all counts of a partition as of one moment."""
    p = partition
    names = (keys.readings(p), keys.meta(p), keys.devices(p), keys.rows(p), keys.state(p))
    return _call("account", names, *fields)


def alive(members: str = keys.WORKERS) -> Command:
    """List the aggregators, or other members, with the age of their heartbeats."""
    return _call("alive", (members,))


def append(
    frames: Sequence[tuple[int, int, bytes]], *, max_entries: str, unread_max: str
) -> Command:
    """Append frames, each to the stream of its partition, which is trimmed to about `max_entries`.

    A frame is rejected if `unread_max` entries of its partition are unread; 0 means no limit, and
    with a negative limit entries that are not in the history count, too. A frame is a partition,
    a number of readings and bytes; the frames are of one slot on a cluster.
    """
    names: list[str] = []
    values: list[str | bytes] = []
    for partition, readings, frame in frames:
        names += _append_names(partition)
        values += (str(readings), frame)
    # Not `_call`: this is the command of every request.
    return (
        "EVALSHA", _APPEND_SHA, str(len(names)), *names,
        max_entries, unread_max, str(len(frames)), *values,
    )  # fmt: skip


@lru_cache(_PARTITIONS_CACHED)
def _append_names(p: int) -> tuple[str, str]:
    """The keys of a frame."""
    return keys.readings(p), keys.meta(p)


def append_once(
    frame: tuple[int, int, bytes],
    *,
    max_entries: str,
    unread_max: str,
    key: str,
    ttl_ms: str,  # how long the key is remembered
    digest: bytes,  # of the request body; another body under this key is rejected
    response: bytes,  # what a retry receives
    claim: tuple[int, str] | None,  # partition and ms of the claim; None: it is claimed already
) -> Command:
    """Append a frame unless it was appended under this idempotency key before."""
    p, readings, packed = frame
    names = [keys.readings(p), keys.meta(p), keys.once(p, key)]
    values: list[str | bytes]
    values = [max_entries, unread_max, "1", str(readings), packed, ttl_ms, digest, response]
    if claim is not None:
        names.append(keys.claim(claim[0], key))
        values.append(claim[1])
    return _call("append", names, *values)


def attempt(partition: int, *, epoch: str, packed: bytes) -> Command:
    """Record which entries are about to be applied alone."""
    return _call("attempt", (keys.meta(partition),), epoch, packed)


def begin_tenure(partition: int, *, new_epoch: str) -> Command:
    """End every other tenure, and deliver everything behind `hwm` again; see the script."""
    names = (keys.readings(partition), keys.meta(partition), keys.buried(partition))
    return _call("begin_tenure", names, keys.GROUP, keys.FORMER_GROUP, new_epoch)


def commit(
    partition: int,
    *,
    epoch: str,  # expected; another one means another owner, and nothing is written
    dead_max_entries: int,  # the dead entries are trimmed to about this number
    meta: Values,  # fields and values, alternating, as in the next three
    rows: Values = (),
    latest: Values = (),
    beyond: Values = (),
    devices: Values = (),  # scores and names, alternating
    dead: Values = (),  # id, reason, readings, packed fields and applied readings of each to bury
    chunks: Sequence[tuple[str, int, bytes]] = (),  # keys, offsets and bytes of what is written
    within: Values = (),  # series of which nothing is beyond the rings any more
    moved: Values = (),  # series that are no longer in format 2
    counters: Values = (),  # series and packed counters, alternating
    quantiles: Values = (),  # series and packed quantiles, alternating
    freed: Sequence[Values] = ((), (), ()),  # rows with their rings, rings, short rows
    undeclared: Values = (),  # series whose counters and quantiles are dropped
    used: Sequence[int] = (0, 0, 0),  # free rows of each kind
    alerts: Sequence[Values] = ((), (), (), (), ()),  # as `AlertWrites.lists` of the aggregator
    transitions_max: int = 0,  # the transitions are trimmed to this number
    forget: Values = (),  # of the tombstone that is the entry: id, request, before, devices
    shape: Values = (),  # `Shape.row_arguments`, with `forget`
) -> Command:
    """Apply a batch of entries."""
    p, fixed = partition, _commit_names(partition)
    numbers, writes = _numbered(chunks, len(fixed) + 1)
    names = (*fixed, *numbers)
    if any(alerts) or forget:
        names = (*names, keys.alerts(p), keys.due(p), keys.transitions(p))
    if forget:
        forget = (*_chunks(p), *shape, *forget)
    lists: Sequence[Values] = (
        meta, rows, latest, beyond, devices, dead, writes, within, moved, counters, quantiles,
        *freed, undeclared, *alerts,
    )  # fmt: skip
    return _call(
        "commit", names, epoch, str(dead_max_entries), *map(str, used), packed.pack(lists),
        str(transitions_max), *forget,
    )  # fmt: skip


@lru_cache(_PARTITIONS_CACHED)
def _commit_names(p: int) -> tuple[str, ...]:
    """The keys of every commit to a partition."""
    return (
        keys.readings(p), keys.meta(p), keys.rows(p), keys.latest(p), keys.beyond(p),
        keys.devices(p), keys.dead(p), keys.buried(p), keys.free(p), keys.forgets(p),
        keys.state(p), keys.windows_2(p), keys.counters(p), keys.quantiles(p), keys.free_rings(p),
        keys.free_short(p),
    )  # fmt: skip


def _numbered(
    chunks: Sequence[tuple[str, int, bytes]], first: int
) -> tuple[dict[str, str], list[str | bytes]]:
    """The numbers of keys, from `first` on, and what to write with them instead of the keys."""
    numbers: dict[str, str] = {}
    writes: list[str | bytes] = []
    for key, offset, data in chunks:
        number = numbers.get(key) or numbers.setdefault(key, str(first + len(numbers)))
        writes += (number, str(offset), data)
    return numbers, writes


def copy_entries(
    stream: str,
    copy: str,
    *,
    entries: int,  # that the copy has
    top: str,  # id of the last of them; empty: none
    first: str,
    last: str,
    out: Sequence[str],  # ids to leave out
    changed: Values,  # id, readings and packed fields of dead entries that are changed
) -> Command:
    """Copy the entries of a stream from `first` to `last`."""
    values = (str(entries), top, first, last, str(len(out)), *out, *changed)
    return _call("copy_entries", (stream, copy), *values)


def count_lost(partition: int, *, epoch: str, new_epoch: str) -> Command:
    """Count entries as lost that were appended and can no longer be read."""
    names = (keys.readings(partition), keys.meta(partition))
    return _call("count_lost", names, keys.GROUP, epoch, new_epoch)


def due_series(partition: int, *, count: int) -> Command:
    """The series to look at because they may have become stale."""
    names = (keys.readings(partition), keys.meta(partition), keys.due(partition))
    return _call("due_series", names, str(count))


def enqueue_job(id_: str, *, max_queued: int, fields: Values) -> Command:
    """Queue a job, unless one with this id is waiting or running; see the script."""
    names = (
        keys.job(id_), keys.job_results(id_), keys.QUEUED, keys.QUEUES, keys.FAILED, keys.FINISHED,
    )  # fmt: skip
    return _call("enqueue_job", names, id_, str(max_queued), keys.QUEUED, *fields)


def ensure_rows(partition: int, *, epoch: str, free_max: int) -> Command:
    """Prepare a partition for rows, and read what its owner needs to number them."""
    p = partition
    names = (
        keys.meta(p), keys.state(p), keys.windows(p), keys.windows_2(p),
        keys.free(p), keys.free_rings(p), keys.free_short(p),
    )  # fmt: skip
    return _call("ensure_rows", names, epoch, str(free_max))


def forget(
    partition: int, *, max_entries: str, unread_max: str, records_max: int, text: bytes
) -> Command:
    """Append a tombstone and record it."""
    names = (keys.readings(partition), keys.meta(partition), keys.forgets(partition))
    return _call("forget", names, max_entries, unread_max, str(records_max), text)


def heartbeat(worker: str, *, forget_after_ms: int, members: str = keys.WORKERS) -> Command:
    """Record a heartbeat and list all aggregators, or other members, with the age of theirs."""
    return _call("heartbeat", (members,), worker, str(forget_after_ms))


def hold_lease(token: str, *, lease_ms: int, key: str = keys.SCHEDULER) -> Command:
    """Take or renew the lease of the schedule, or another one."""
    return _call("hold_lease", (key,), token, str(lease_ms))


def raise_format(*, before: str, after: str) -> Command:
    """State that the data may be of another format from now on, unless it is already."""
    return _call("raise_format", (keys.CONFIG,), before, after)


def read_series(
    partition: int,
    series: Sequence[tuple[str, str]],  # device and metric
    *,
    shape: Values,  # `Shape.arguments`
    devices: Sequence[str] = (),
    fields: Sequence[str] = (),  # of meta
    counters: Sequence[int] = (),  # which of the series are counters, by position
    quantiles: Sequence[int] = (),  # which of them have quantiles
) -> Command:
    """Read aggregates, documents and counts as of one moment; `series.parse` takes the reply."""
    p = partition
    names = (
        keys.meta(p), keys.latest(p), keys.rows(p), keys.beyond(p),
        keys.state(p), keys.windows(p), keys.windows_2(p), keys.counters(p),
        keys.quantiles(p),
    )  # fmt: skip
    values = (*_chunks(p), *shape)
    named = [keys.series(*each) for each in series]
    beside = ([named[n] for n in which] for which in (counters, quantiles))
    lists = (fields, devices, *beside)
    counts = [str(len(each)) for each in lists]
    return _call("read_series", names, *values, *counts, *chain.from_iterable(lists), *named)


def release_lease(token: str, key: str = keys.SCHEDULER) -> Command:
    """End the lease of the schedule, or another one."""
    return _call("release_lease", (key,), token)


def replay(
    partition: int, *, max_entries: str, unread_max: str, entry: str, readings: int, frame: bytes
) -> Command:
    """Append a dead entry again and remove it from the dead entries."""
    names = (keys.readings(partition), keys.meta(partition), keys.dead(partition))
    return _call("replay", names, max_entries, unread_max, entry, str(readings), frame)


def requeue_job(
    id_: str, *, source: str, at: str, member: str = "", place: str = "last", retries: str = "kept"
) -> Command:
    """Move a job from `source`, where it is `member`, to the first or last place of the queue.

    `retries`: all, or those kept.
    """
    names = (keys.job(id_), keys.QUEUED, source)
    return _call("requeue_job", names, member or id_, id_, at, place, retries)


def report_tail(
    partition: int, *, run: str, acknowledged_by: str, entries: int, readings: int
) -> Command:
    """Report the last numbers that a server acknowledged, after it has restarted."""
    values = (run, acknowledged_by, str(entries), str(readings))
    return _call("report_tail", (keys.meta(partition),), *values)


def scan_rows(
    partition: int, *, cursor: str, count: int, state_rows: int, cells: int, since_ms: int
) -> Command:
    """List some series with their rows, and whether they have been silent; see the script."""
    sizes = map(str, (state_rows, cells, since_ms))
    chunks = keys.state_chunks(partition)
    return _call("scan_rows", (keys.rows(partition),), cursor, str(count), chunks, *sizes)


def swap_stream(
    names: Sequence[str],  # stream and copy; of readings also meta and holes
    *,
    entries: int,
    top: str,
    after: str,
    tail_max: int,
    deleted: str,  # the greatest id that was left out; 0-0: none
    readings: Values = (),  # epoch, first id left out, how many, readings of others
) -> Command:
    """Replace a stream by its copy, after copying what follows `after`."""
    values = (str(entries), top, after, str(tail_max), deleted, *readings)
    return _call("swap_stream", names, *values)


def _chunks(partition: int) -> tuple[str, str, str]:
    """How the keys of the chunks of state, rings and short rows begin."""
    p = partition
    return keys.state_chunks(p), keys.ring_chunks(p), keys.short_chunks(p)


def _call(script: str, names: Sequence[str], *values: str | bytes) -> Command:
    return ("EVALSHA", SCRIPTS[script].sha, str(len(names)), *names, *values)


def with_source(command: Command) -> Command:
    """The same call as EVAL; it works whether or not Redis has the script cached."""
    _, sha, *rest = command
    return ("EVAL", _SOURCES[str(sha)], *rest)


def is_call(packed: bytes) -> bool:
    """Whether a packed command calls a script."""
    return b"\r\nEVAL" in packed[:32]


def retry(packed: bytes, error: str) -> bytes | None:
    """The packed command to send again after this error, or None if the error is final."""
    begin = packed.find(_PACKED, 0, 32)
    if begin < 0 or not error.startswith("NOSCRIPT"):
        return None
    sha = begin + len(_PACKED)
    source = _SOURCES[packed[sha : sha + 40].decode()]
    return b"%b$4\r\nEVAL\r\n$%d\r\n%b%b" % (
        packed[:begin], len(source), source, packed[sha + 40 :]
    )  # fmt: skip


def packed_with_source(packed: bytes) -> bytes:
    """The same for a packed command, if it calls a script."""
    return retry(packed, "NOSCRIPT") or packed


def run(client: redis.Redis, command: Command) -> Any:
    """Execute one command with redis-py, with its source: for what is called rarely."""
    return client.execute_command(*with_source(command))  # type: ignore[no-untyped-call]


def execute(
    client: redis.Redis, commands: Sequence[Command], then: Command | None = None
) -> list[Any]:
    """Execute commands in one pipeline with redis-py; an error is returned as a value.

    `then` is executed behind them; it follows retried commands once more.
    """
    last = () if then is None else (then,)
    replies = _pipelined(client, (*commands, *last))
    retried = [n for n, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if retried:
        again = _pipelined(client, (*(with_source(commands[n]) for n in retried), *last))
        for number, reply in zip((*retried, len(commands)), again, strict=False):
            replies[number : number + 1] = [reply]
    return replies


def _pipelined(client: redis.Redis, commands: Iterable[Command]) -> list[Any]:
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
    return pipeline.execute(raise_on_error=False)
