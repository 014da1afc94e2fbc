"""Records what was loaded from which file to which server, so that nothing is loaded twice.

An entry identifies content, not a path: it has the SHA-256 of the part of a file that the
server has. A file that was renamed, copied or compressed is recognised, one that has grown is
continued, and one whose beginning has changed is another file.
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

    `sha256` is that of the first `done_bytes` bytes, `plan_sha256` that of the plan. `round`
    counts intended repetitions, `rows` accepted rows; `devices` are some of the devices.
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
        """Add devices, up to a limit."""
        room = _DEVICES_KEPT_MAX - len(self.devices)
        self.devices += sorted(devices.difference(self.devices))[:room]


class Journal:
    """The entries of one server: a directory with a file for each.

    Raises:
        Misconfigured: the directory cannot be written, or contains an invalid entry.
    """

    def __init__(self, state_dir: Path, url: str) -> None:
        self._dir = state_dir / re.sub(r"[^A-Za-z0-9.]+", "_", url.partition("://")[2])
        try:
            private.make_directory(self._dir)
            private.tighten(self._dir, _is_journal_file)
        except OSError as error:
            raise self._unwritable(error) from None

    def entries(self) -> dict[str, Entry]:
        """All entries by name."""
        found = {}
        for file in sorted(self._dir.glob("*.json")):
            try:
                found[file.stem] = msgspec.json.decode(file.read_bytes(), type=Entry)
            except FileNotFoundError:  # another load has replaced it
                continue
            except (msgspec.DecodeError, OSError) as error:
                raise Misconfigured(
                    f"{file} is not a valid journal entry ({error}); remove it "
                    "to load its file again"
                ) from None
        return found

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Lock this entry against other loads.

        Raises:
            Misconfigured: another load is running.
        """
        with open(self._dir / "lock", "a+b", opener=private.opener) as file:
            # Each name locks one byte of the file, so there is nothing to clean up.
            byte = int(name[:7], 16)
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
            except OSError:
                raise Misconfigured(
                    "another load of the same file is running; wait for it"
                ) from None
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


def _is_journal_file(name: str) -> bool:
    return name == "lock" or name.endswith((".json", ".new"))
