"""The job `export`, which writes the file of an export.

An attempt writes a file of its own and names it in the state of the export when it is complete.
So it may be killed or repeated, and two of them may run at once: the file that the state names
is complete, and `tidy_exports` removes the others.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import redis

from jobs.export import work
from jobs.export.work import LimitReached, Limits, Progress, Result
from tributary.errors import Misconfigured
from tributary.model.clock import utc_ms
from tributary.operate import exports
from tributary.operate.exports import Record, State
from tributary.settings import Settings
from tributary.standalone import private
from tributary.store import redis_client

ATTEMPTS_MAX = 5
_REPORT_S = 1.0


class _Deleted(Exception):
    """The export was deleted while its file was written."""


def run(settings: Settings, id_: str) -> dict[str, int]:
    """Write the file of an export, unless that is done, or it was deleted or has expired.

    What cannot succeed later ends as the state `failed`.

    Raises:
        Unavailable: Redis is; the queue tries it again.
    """
    with contextlib.closing(redis_client.connect(settings)) as client:
        found = exports.find(client, id_, utc_ms())
        if found is None or found.state.state in ("done", "failed"):
            return {}
        attempts = found.state.attempts + 1
        state = State("running", utc_ms(), attempts)
        if attempts > ATTEMPTS_MAX:
            problem = f"{ATTEMPTS_MAX} attempts did not end; the log of `tributary jobs` has why"
            exports.update(client, id_, _failed(state, "abandoned", problem))
            return {}
        if not exports.update(client, id_, state):
            return {}
        try:
            state = _write(settings, client, found.record, state)
        except _Deleted:
            return {}
        except (LimitReached, Misconfigured) as error:
            state = _failed(state, getattr(error, "code", "misconfigured"), str(error))
        except OSError as error:
            where = exports.directory(settings)
            state = _failed(state, "not_written", f"cannot write to {where}: {error.strerror}")
        if not exports.update(client, id_, state) and state.file:
            (exports.directory(settings) / state.file).unlink(missing_ok=True)
        return {"rows": state.rows}


def _write(settings: Settings, client: redis.Redis, record: Record, state: State) -> State:
    """Write the file under a temporary name, then rename it; the state that names it."""
    directory = exports.directory(settings)
    private.make_directory(directory)
    part = directory / f"{record.id}-{secrets.token_hex(4)}.part"
    keep_state = _reporter(settings, client, record.id, state)

    def report(progress: Progress) -> None:
        if keep_state(progress):
            os.utime(part)  # `tidy` deletes what was not written lately

    limits = Limits(
        settings.export_max_rows, settings.export_max_bytes - exports.size_bytes(settings)
    )
    try:
        with open(part, "xb", opener=private.opener) as file:
            source = work.source_of(settings, client, record.spec)
            result = work.write(source, record.spec.format, file, report, limits)
            file.flush()
            os.fsync(file.fileno())
        path = part.with_suffix(f".{record.spec.format}")
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)  # unless it is renamed
    return _done(state, path, result)


def _reporter(
    settings: Settings, client: redis.Redis, id_: str, state: State
) -> Callable[[Progress], bool]:
    """Keeps the progress about once per second, and returns whether it did.

    The function raises if there is a reason to stop.
    """
    last_s = time.monotonic()

    def report(progress: Progress) -> bool:
        nonlocal last_s
        now_s = time.monotonic()
        if now_s - last_s < _REPORT_S:
            return False
        last_s = now_s
        so_far = {"progress": progress.share, "rows": progress.rows, "updated_ms": utc_ms()}
        so_far["size_bytes"] = progress.size_bytes
        if not exports.update(client, id_, msgspec.structs.replace(state, **so_far)):
            raise _Deleted
        if exports.size_bytes(settings) > settings.export_max_bytes:
            raise work.too_many_bytes()
        return True

    return report


def _done(state: State, path: Path, result: Result) -> State:
    figures = {"rows": result.rows, "size_bytes": result.size_bytes, "covered": result.covered}
    done = {"state": "done", "progress": 1.0, "updated_ms": utc_ms(), "file": path.name}
    return msgspec.structs.replace(state, **done, **figures)


def _failed(state: State, code: str, message: str) -> State:
    return msgspec.structs.replace(
        state, state="failed", updated_ms=utc_ms(), code=code, message=message
    )
