"""Finds running embedded servers, by data directory or from any working directory.

A lock in the data directory is held while a server may use it. `up` adds a link to the
directory to the state directory of the user, where commands in other directories find it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from pathlib import Path

from tributary.standalone import private

LOCK, URL = "lock", "redis.url"


def is_running(data_dir: Path) -> bool:
    """Whether a process holds the lock of a data directory: a server is running or starting."""
    try:
        with (data_dir / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return False


def url_of(data_dir: Path) -> str | None:
    """The URL of the server that is running on a data directory, or None."""
    if not is_running(data_dir):
        return None
    try:
        return (data_dir / URL).read_text().strip()
    except OSError:
        return None


def register(data_dir: Path) -> None:
    """Make a data directory known to `running`, unless the state directory is unusable."""
    with contextlib.suppress(OSError, RuntimeError):
        registry = _registry()
        private.make_directory(registry)
        link = registry / hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
        link.unlink(missing_ok=True)
        link.symlink_to(data_dir)


def running() -> list[Path]:
    """The registered data directories with a running server; remove the others."""
    found = []
    with contextlib.suppress(OSError, RuntimeError):
        for link in _registry().iterdir():
            data_dir = link.readlink()
            if is_running(data_dir):
                found.append(data_dir)
            else:
                link.unlink(missing_ok=True)
    return sorted(found)


def _registry() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "tributary" / "running"
