"""Clock jumps of the Redis server and of the ingest host, faked by `clock.c`."""

from __future__ import annotations

import contextlib
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from faults.rig import Rig, RigOptions, Unsupported

_FILE = "clock"
_SOURCE = Path(__file__).parent / "clock.c"
_HOUR_S = 3600


@contextlib.contextmanager
def server_clock(folder: Path, options: RigOptions) -> Iterator[RigOptions]:
    """A server with a faked clock."""
    yield options._replace(server_environ=_fake_clock(folder))


@contextlib.contextmanager
def host_clock(folder: Path, options: RigOptions) -> Iterator[RigOptions]:
    """An ingest role with a faked clock."""
    yield options._replace(ingest_environ=_fake_clock(folder))


def jump_server(rig: Rig, times: int) -> None:
    """Move the server's clock ahead by an hour, then back, and kill an aggregator each time."""
    for number in rig.repeat(times):
        ahead_s = (_HOUR_S, 0, -_HOUR_S, 0)[number % 4]
        rig.wait_for_readings(50)
        victim = rig.random.choice(rig.aggregators)
        victim.kill()
        _set_clock(rig, ahead_s)
        rig.wait_for_recovery()
        rig.replace(victim)
        rig.wait_for_live_aggregators()
        rig.wait_for_recovery()
        rig.notes.append(f"{ahead_s // _HOUR_S:+d} h")


def jump_host(rig: Rig, times: int) -> None:
    """Move the clock of ingest an hour ahead, then an hour behind its clients."""
    for number in rig.repeat(times):
        ahead_s = (_HOUR_S, -_HOUR_S)[number % 2]
        before = rig.load.ledger.responses.copy()
        _set_clock(rig, ahead_s)
        rig.pause(1)
        responses = rig.load.ledger.responses - before
        _set_clock(rig, 0)
        rig.wait_for_recovery()
        rig.notes.append(
            f"{ahead_s // _HOUR_S:+d} h: HTTP 200: {responses['200']}, HTTP 422: {responses['422']}"
        )
        assert not responses["500"], responses


def _set_clock(rig: Rig, ahead_s: int) -> None:
    """Change the offset in the file that the processes have mapped."""
    with (rig.folder / _FILE).open("r+b") as file:
        file.write(struct.pack("=q", ahead_s))


def _fake_clock(folder: Path) -> dict[str, str]:
    """Compile the library; returns the environment that preloads it into a process."""
    library = folder / "clock.so"
    build = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE)]
    if not sys.platform.startswith("linux") or shutil.which("cc") is None:
        raise Unsupported("faking a clock needs Linux and a C compiler: apt install gcc libc6-dev")
    subprocess.run(build, check=True, capture_output=True)
    (folder / _FILE).write_bytes(struct.pack("=q", 0))
    return {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(folder / _FILE)}
