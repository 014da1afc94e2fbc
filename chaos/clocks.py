"""Clocks that jump, by libfaketime: that of the server, and that of our own host."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from support.waiting import wait_until

from chaos.disks import NotHere
from chaos.stand import Needs, Stand

_FILE = "clock"
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
        stand.notes.append(f"{ahead_s // _HOUR_S:+d} h: {told['200']} × 200, {told['422']} × 422")
        assert not told["500"], told
        stand.on_progress(1)


def _set(stand: Stand, ahead_s: int) -> None:
    """Let the clock jump; the file is replaced as a whole."""
    new = stand.folder / (_FILE + ".new")
    new.write_text(f"{ahead_s:+d}\n")
    new.rename(stand.folder / _FILE)


def _faked(folder: Path) -> dict[str, str]:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        raise NotHere("libfaketime is missing: apt install faketime")
    (folder / _FILE).write_text("+0\n")
    return {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": str(folder / _FILE),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
