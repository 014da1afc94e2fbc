"""What was loaded from which file to which server, so that nothing is loaded twice.

An entry is about content, not about a path: it holds the SHA-256 of the part of a file that
the server has. A file that was renamed, copied or compressed is recognised, one that has
grown is continued, and one whose beginning has changed is another file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tributary.errors import Misconfigured
from tributary.standalone import private

_DEVICES_KEPT_MAX = 20


class Entry(msgspec.Struct, kw_only=True):
    """How much of a file the server has.

    `sha256` is of the `done_bytes` first bytes, `plan_sha256` of how the columns were read.
    `round` counts how often the content was loaded again on purpose; `rows` were accepted;
    `devices` are some of those in it.
    """

    path: str
    plan_sha256: str
    round: int = 0
    done_bytes: int = 0
    done_lines: int = 0
    rows: int = 0
    sha256: str = ""
    loaded_at: str = ""
    devices: list[str] = []

    def add_devices(self, devices: set[str]) -> None:
        """Remember some of the devices."""
        room = _DEVICES_KEPT_MAX - len(self.devices)
        self.devices += sorted(devices.difference(self.devices))[:room]


class Journal:
    """The entries of one server: a directory with a file for each.

    Raises:
        Misconfigured: the directory cannot be written, or holds what is no entry.
    """

    def __init__(self, state_dir: Path, url: str) -> None:
        self._dir = state_dir / re.sub(r"[^A-Za-z0-9.]+", "_", url.partition("://")[2])
        try:
            private.make_directory(self._dir)
            private.tighten(self._dir, _is_ours)
        except OSError as error:
            raise self._unwritable(error) from None

    def entries(self) -> dict[str, Entry]:
        """Every entry by its name."""
        found = {}
        for file in sorted(self._dir.glob("*.json")):
            try:
                found[file.stem] = msgspec.json.decode(file.read_bytes(), type=Entry)
            except FileNotFoundError:  # another load has just replaced it
                continue
            except (msgspec.DecodeError, OSError) as error:
                raise Misconfigured(
                    f"{file} is no entry of a load ({error}); remove it, "
                    "then what it was about would be loaded again"
                ) from None
        return found

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Keep other loads from writing this entry.

        Raises:
            Misconfigured: one is at it.
        """
        with open(self._dir / "lock", "a+b", opener=private.opener) as file:
            # One byte of the file stands for each name: nothing has to be cleaned up.
            byte = int(name[:7], 16)
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
            except OSError:
                raise Misconfigured("another load sends the same file now; wait for it") from None
            yield

    def write(self, name: str, entry: Entry) -> None:
        """Write an entry, durably.

        Raises:
            Misconfigured: the directory cannot be written.
        """
        file = self._dir / f"{name}.json"
        unfinished = file.with_suffix(".new")
        try:
            with open(unfinished, "wb", opener=private.opener) as new:
                new.write(msgspec.json.format(msgspec.json.encode(entry)))
                new.flush()
                os.fsync(new.fileno())
            unfinished.replace(file)
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> Misconfigured:
        return Misconfigured(
            f"{self._dir} cannot be written: {error.strerror}; choose another with --state-dir"
        )


def _is_ours(name: str) -> bool:
    return name == "lock" or name.endswith((".json", ".new"))
