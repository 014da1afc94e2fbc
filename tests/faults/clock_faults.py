"""Clocks that jump: that of the server, and that of our own host; `clock.c` fakes both."""

from __future__ import annotations

import contextlib
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from support.waiting import wait_until

from faults.disk_faults import NotHere
from faults.rig import Needs, Stand

_FILE = "clock"
_SOURCE = Path(__file__).parent / "clock.c"
_HOUR_S = 3600


@contextlib.contextmanager
def server_clock(folder: Path, needs: Needs) -> Iterator[Needs]:
    """A server whose clock follows a file."""
    yield needs._replace(server_environ=_faked(folder))


@contextlib.contextmanager
def host_clock(folder: Path, needs: Needs) -> Iterator[Needs]:
    """An ingest role whose clock follows a file."""
    yield needs._replace(ingest_environ=_faked(folder))


def jump_server(stand: Stand, times: int) -> None:
    """The server's clock an hour ahead, then an hour back; an aggregator dies as it jumps."""
    for number in range(times):
        ahead_s = (_HOUR_S, 0, -_HOUR_S, 0)[number % 4]
        stand.settle_load(50)
        victim = stand.random.choice(stand.aggregators)
        victim.kill()
        _set(stand, ahead_s)
        stand.recovers()
        stand.replace(victim)
        wait_until(lambda: len(stand.alive()) == len(stand.aggregators), "the new one")
        stand.recovers()
        stand.notes.append(f"{ahead_s // _HOUR_S:+d} h")
        stand.on_progress(1)


def jump_host(stand: Stand, times: int) -> None:
    """The clock of ingest an hour ahead, then an hour behind what its clients send."""
    for number in range(times):
        ahead_s = (_HOUR_S, -_HOUR_S)[number % 2]
        before = stand.load.ledger.answers.copy()
        _set(stand, ahead_s)
        stand.wait(1)
        told = stand.load.ledger.answers - before
        _set(stand, 0)
        stand.recovers()
        stand.notes.append(
            f"{ahead_s // _HOUR_S:+d} h: {told['200']} answers 200, {told['422']} answers 422"
        )
        assert not told["500"], told
        stand.on_progress(1)


def _set(stand: Stand, ahead_s: int) -> None:
    """Let the clock jump: the processes have the file mapped."""
    with (stand.folder / _FILE).open("r+b") as file:
        file.write(struct.pack("=q", ahead_s))


def _faked(folder: Path) -> dict[str, str]:
    """Build the clock; the environment of a process that is to have it."""
    library = folder / "clock.so"
    build = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE)]
    if not sys.platform.startswith("linux") or shutil.which("cc") is None:
        raise NotHere("faking a clock needs Linux and a C compiler: apt install gcc libc6-dev")
    subprocess.run(build, check=True, capture_output=True)
    (folder / _FILE).write_bytes(struct.pack("=q", 0))
    return {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(folder / _FILE)}
