"""Directories and files that only their owner may read: modes 0700 and 0600.

Readings, token digests and logs are in the data directory, so nobody else on the machine may
look. A directory that existed before is tightened only if everything in it is ours: the mode of
a home directory or of `/` is never changed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

DIRECTORY_MODE, FILE_MODE = 0o700, 0o600
UMASK = 0o077  # of a process that writes such files


def make_directory(path: Path) -> None:
    """Create a directory as 0700 if there is none; its missing parents get the usual mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)


def tighten(directory: Path, is_ours: Callable[[str], bool]) -> bool:
    """Take the access of others away from what is ours; whether that includes the directory.

    Args:
        directory: an existing directory.
        is_ours: whether a file or directory of this name, directly in it, is ours.

    Links are not followed, and what belongs to another user is left alone.
    """
    entries = list(directory.iterdir())
    for entry in entries:
        if is_ours(entry.name):
            _tighten_tree(entry)
    if all(is_ours(entry.name) for entry in entries):
        _restrict(directory)
    return not _is_open(directory)


def opener(path: str, flags: int) -> int:
    """Create a file as 0600; for `open(…, opener=private.opener)`."""
    return os.open(path, flags, FILE_MODE)


def write_text(path: Path, text: str) -> None:
    """Write a text file that is created as 0600."""
    with open(path, "w", encoding="utf-8", opener=opener) as file:
        file.write(text)


def _tighten_tree(entry: Path) -> None:
    _restrict(entry)
    if entry.is_dir() and not entry.is_symlink():
        for child in entry.iterdir():
            _restrict(child)


def _restrict(path: Path) -> None:
    """Take away what group and others may do; links and what is not ours stay as they are."""
    found = path.lstat()
    if found.st_uid != os.geteuid() or stat.S_ISLNK(found.st_mode):
        return
    mode = stat.S_IMODE(found.st_mode)
    if mode & UMASK:
        path.chmod(mode & ~UMASK)


def _is_open(directory: Path) -> bool:
    return bool(stat.S_IMODE(directory.stat().st_mode) & UMASK)
