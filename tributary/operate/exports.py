"""Exports: what was asked for, how far each one is, and its file. Kept in Redis.

An export exists while its record does: a job that keeps a state after its export was deleted
brings nothing back, and `tidy` removes what it has left.
Every function with a client raises `Unavailable` while Redis is.
"""

from __future__ import annotations

import contextlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import redis

from tributary.errors import Refused
from tributary.model.export import Spec
from tributary.operate import job_queue
from tributary.settings import Settings
from tributary.store import keys
from tributary.store.redis_client import failures

EXPORTS_MAX, UNFINISHED_MAX = 1_000, 10  # in total; that wait or run, per token
_JOB = "export"  # its name in jobs/registry.py
_ID = re.compile("[0-9a-f]{32}")
_FILE = re.compile(r"(?P<id>[0-9a-f]{32})-[0-9a-f]{8}\.(csv|ndjson|parquet|part)")


class Covered(msgspec.Struct, frozen=True):
    """Which readings an export could include, by their time of arrival, UTC ms."""

    from_ms: int | None = None  # None: all that were ever recorded
    to_ms: int | None = None  # None: nothing was recorded


class State(msgspec.Struct, frozen=True):
    """How far an export is."""

    state: Literal["queued", "running", "done", "failed"] = "queued"
    updated_ms: int = 0
    attempts: int = 0
    progress: float = 0.0  # 0 … 1
    rows: int = 0
    size_bytes: int = 0
    file: str = ""  # its name in the directory of exports
    covered: Covered | None = None
    code: str = ""  # of the error
    message: str = ""


class Record(msgspec.Struct, frozen=True):
    """An export as it was asked for."""

    id: str
    spec: Spec
    token: str | None  # id of the token it was made with; None: none was required
    secret: str  # of its link
    created_ms: int
    expires_ms: int


class Export(NamedTuple):
    """An export and its state."""

    record: Record
    state: State


def directory(settings: Settings) -> Path:
    """The directory of the files, absolute; the first job creates it."""
    return Path(settings.export_dir or Path(settings.data_dir) / "exports").absolute()


def create(
    client: redis.Redis, settings: Settings, spec: Spec, token: str | None, now_ms: int
) -> Export:
    """Keep a new export; the caller queues its job.

    Concurrent requests may exceed the bounds slightly.

    Raises:
        Refused: 429, there are `EXPORTS_MAX` exports, or `UNFINISHED_MAX` of this token wait.
    """
    existing = read_all(client, now_ms)
    waiting = [one for one in existing if one.state.state in ("queued", "running")]
    own = sum(one.record.token == token for one in waiting)
    if len(existing) >= EXPORTS_MAX or own >= UNFINISHED_MAX:
        problem = f"{own} exports wait or run" if own >= UNFINISHED_MAX else "too many exports"
        raise Refused(
            f"{problem}; wait until one is done, or delete one",
            status=429,
            code="too_many_exports",
            headers={"Retry-After": "10"},
        )
    record = Record(
        secrets.token_hex(16),
        spec,
        token,
        secrets.token_urlsafe(32),
        now_ms,
        now_ms + settings.export_ttl_s * 1000,
    )
    state = State(updated_ms=now_ms)
    fields: Any = {
        record.id: msgspec.json.encode(record),
        _state(record.id): msgspec.json.encode(state),
    }
    with failures():
        client.hset(keys.EXPORTS, mapping=fields)
    return Export(record, state)


def enqueue(settings: Settings, id_: str) -> None:
    """Queue the job of an export, unless it waits or runs.

    Raises:
        Misconfigured, TributaryError: as `job_queue.enqueue`.
    """
    job_queue.enqueue(settings, _JOB, id_, id=f"{_JOB}-{id_}")


def find(client: redis.Redis, id_: str, now_ms: int) -> Export | None:
    """The export with this id; None if there is none or it has expired."""
    if not _is_id(id_):
        return None
    with failures():
        stored: Any = client.hmget(keys.EXPORTS, id_, _state(id_))
    found = _parsed(*stored)
    return found if found is not None and found.record.expires_ms > now_ms else None


def read_all(client: redis.Redis, now_ms: int = 0) -> list[Export]:
    """All exports that have not expired at `now_ms`, oldest first."""
    fields = _fields(client)
    found = [_parsed(fields[name], fields.get(_state(name))) for name in fields if _is_id(name)]
    alive = [one for one in found if one is not None and one.record.expires_ms > now_ms]
    return sorted(alive, key=lambda one: one.record.created_ms)


def update(client: redis.Redis, id_: str, state: State) -> bool:
    """Keep a state; returns whether the export still exists."""
    with failures():
        client.hset(keys.EXPORTS, _state(id_), msgspec.json.encode(state))
        return bool(client.hexists(keys.EXPORTS, id_))


def delete(client: redis.Redis, settings: Settings, ids: Sequence[str]) -> int:
    """Delete exports and their files; a job that runs stops. Returns how many existed.

    The record goes first: a job that finishes at this moment finds it missing and removes its file.

    Raises:
        OSError: a file could not be removed; the next `tidy` tries again.
    """
    if not ids:
        return 0
    with failures():
        deleted: Any = client.hdel(keys.EXPORTS, *ids)
        client.hdel(keys.EXPORTS, *map(_state, ids))
    _remove_files(settings, lambda id_, _path: id_ in ids)
    return int(deleted)


def delete_of_devices(client: redis.Redis, settings: Settings, patterns: Sequence[str]) -> int:
    """Delete the exports that may contain a device that one of the patterns covers.

    Also those that wait or run; a new one started later reads what is there then. Returns how
    many there were.
    """
    found = [one.record.id for one in read_all(client) if one.record.spec.overlaps(patterns)]
    return delete(client, settings, found)


def tidy(client: redis.Redis, settings: Settings, now_ms: int, unused_after_ms: int) -> list[str]:
    """Delete what has expired, and files without an export that were not written lately.

    Returns the ids of exports that wait or run and had no sign of life for `unused_after_ms`.
    """
    names = {name.partition(":")[0] for name in _fields(client)}
    alive = {one.record.id: one for one in read_all(client, now_ms)}
    delete(client, settings, sorted(names - alive.keys()))
    files = {one.state.file for one in alive.values()}
    oldest_s = (now_ms - unused_after_ms) / 1000
    _remove_files(
        settings,
        lambda _id, path: path.name not in files and path.stat().st_mtime < oldest_s,
    )
    return [
        id_
        for id_, one in alive.items()
        if one.state.state in ("queued", "running")
        and one.state.updated_ms < now_ms - unused_after_ms
    ]


def is_secret(record: Record, secret: str) -> bool:
    """Whether this is the secret of the link, compared in constant time."""
    return hmac.compare_digest(record.secret.encode(), secret.encode(errors="replace"))


def size_bytes(settings: Settings) -> int:
    """The size of all files of exports."""
    total = 0
    for path in _files(settings):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def _fields(client: redis.Redis) -> dict[str, bytes]:
    """The hash: a record by the id of an export, and its state by `_state`."""
    with failures():
        stored: Any = client.hgetall(keys.EXPORTS)
    return {name.decode(): value for name, value in stored.items()}


def _state(id_: str) -> str:
    return f"{id_}:state"


def _is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def _parsed(record: bytes | None, state: bytes | None) -> Export | None:
    if record is None or state is None:
        return None
    return Export(msgspec.json.decode(record, type=Record), msgspec.json.decode(state, type=State))


def _files(settings: Settings) -> list[Path]:
    """The files that exports have created; none of others."""
    try:
        return [path for path in directory(settings).iterdir() if _FILE.fullmatch(path.name)]
    except FileNotFoundError:
        return []


def _remove_files(settings: Settings, is_unused: Callable[[str, Path], bool]) -> None:
    for path in _files(settings):
        with contextlib.suppress(FileNotFoundError):
            if is_unused(path.name[:32], path):
                path.unlink()
