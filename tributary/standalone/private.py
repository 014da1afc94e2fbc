"""Directories and files that only their owner can read: modes 0700 and 0600.

The data directory contains readings, token digests and logs. The mode of an existing directory
is changed only if Tributary created everything in it: never that of a home directory or `/`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

DIRECTORY_MODE, FILE_MODE = 0o700, 0o600
UMASK = 0o077  # for processes that write such files


def make_directory(path: Path) -> None:
    """Create a directory with mode 0700 unless it exists; missing parents get the usual mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)


def tighten(directory: Path, is_own: Callable[[str], bool]) -> bool:
    """Remove the access of other users to files of Tributary, and to a directory of only these.

    Links are not followed, and files of other users are skipped. `is_own` decides by name what
    Tributary has created. Returns whether other users have no access to the directory.
    """
    entries = list(directory.iterdir())
    own = [entry for entry in entries if is_own(entry.name)]
    for entry in own:
        _restrict(entry)
        if entry.is_dir() and not entry.is_symlink():
            for child in entry.iterdir():
                _restrict(child)
    if len(own) == len(entries):
        _restrict(directory)
    return not stat.S_IMODE(directory.stat().st_mode) & UMASK


def opener(path: str, flags: int) -> int:
    """Create a file with mode 0600: `open(…, opener=private.opener)`."""
    return os.open(path, flags, FILE_MODE)


def write_text(path: Path, text: str) -> None:
    """Write a text file; a new one gets mode 0600."""
    with open(path, "w", encoding="utf-8", opener=opener) as file:
        file.write(text)


def _restrict(path: Path) -> None:
    """Remove the permissions of group and others; skip links and files of other users."""
    found = path.lstat()
    if found.st_uid != os.geteuid() or stat.S_ISLNK(found.st_mode):
        return
    mode = stat.S_IMODE(found.st_mode)
    if mode & UMASK:
        path.chmod(mode & ~UMASK)
