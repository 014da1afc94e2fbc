"""Faults of the server's disk: full, failing, torn, and writes that never reached it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from support.processes import Process, Server
from support.waiting import wait_until

from faults.rig import Needs, Stand
from tributary.store import keys

_DISK_BYTES = 16 << 20
_HEAL_PATIENCE_S = 5.0
_WATCH_S = 0.002
_MULTI = b"*1\r\n$5\r\nMULTI\r\n"
_SYNC_BEGAN = re.compile(r"^(\d+) +(\d+\.\d+) (?:fdatasync|fsync)\(")
_SYNC_DONE = re.compile(r"(?:fdatasync|fsync)\b.*= 0\s*$")


class NotHere(Exception):
    """This machine cannot show it; the message says why."""


@contextlib.contextmanager
def small_disk(folder: Path, needs: Needs) -> Iterator[Needs]:
    """A file system of 16 MiB for the server's data."""
    place = folder / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        raise NotHere("a small file system needs root: mount -t tmpfs")
    try:
        yield needs._replace(folder=place / "redis")
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


def traced(_folder: Path, needs: Needs) -> contextlib.AbstractContextManager[Needs]:
    """Nothing to prepare, but the server must be traceable."""
    probe = ["strace", "-o", os.devnull, "-e", "trace=fdatasync", "true"]
    if shutil.which("strace") is None or subprocess.run(probe, check=False).returncode:
        raise NotHere("strace is missing or may not trace: apt install strace, as root")
    return contextlib.nullcontext(needs)


def fill_disk(stand: Stand, times: int) -> None:
    """Fill the disk of a server that syncs every second, wait for 503s, free it."""
    for _ in range(times):
        refused = stand.load.ledger.answers["503"]
        with _ballast(stand):
            wait_until(lambda r=refused: stand.load.ledger.answers["503"] > r, "a 503", 30)  # type: ignore[misc]
            stand.wait(1)
        stand.recovers()
        stand.on_progress(1)


def fill_disk_until_exit(stand: Stand, times: int) -> None:
    """Fill the disk of a server that syncs always: it exits, and is started again."""
    for _ in range(times):
        began_s = time.monotonic()
        with _ballast(stand):
            process = stand.server.process
            wait_until(lambda p=process: p.popen.poll() is not None, "the server to give up", 30)  # type: ignore[misc]
        stand.server.kill()
        stand.server.start()
        stand.recovers(began_s)
        stand.on_progress(1)


def fail_syncs(stand: Stand, times: int) -> None:
    """Let every fdatasync of the server fail with EIO for two seconds."""
    for _ in range(times):
        refused = stand.load.ledger.answers["503"]
        with _strace(stand, "-e", "inject=fdatasync:error=EIO"):
            stand.wait(2)
        began_s = time.monotonic()
        healed = _heals(stand)
        if not healed:  # Redis 7.0 refuses writes, and so never syncs again: an operator must act
            stand.server.kill()
            stand.server.start()
        stand.recovers(began_s)
        stand.notes.append(f"{stand.load.ledger.answers['503'] - refused} answers 503")
        stand.notes.append("healed by itself" if healed else "stayed at MISCONF until restarted")
        stand.on_progress(1)


def _heals(stand: Stand) -> bool:
    """Whether the server takes writes again by itself within some seconds."""
    before = stand.load.ledger.acknowledged
    try:
        wait_until(lambda: stand.load.ledger.acknowledged > before, "a 200", _HEAL_PATIENCE_S)
    except AssertionError:
        return False
    return True


def forget_unsynced(stand: Stand, times: int) -> None:
    """Crash as a machine does: the append-only file ends where it was last synced."""
    for _ in range(times):
        sizes: list[tuple[float, int]] = []
        file, stop = _append_only_file(stand), threading.Event()

        watcher = threading.Thread(target=_watch, args=(file, sizes, stop))
        with _strace(stand, "-ttt", "-e", "trace=fdatasync,fsync") as log:
            watcher.start()
            try:
                stand.wait(2 + stand.random.random())
                stand.server.process.popen.kill()
                stand.crashes_ms.append(time.time_ns() // 1_000_000)
            finally:
                stop.set()
                watcher.join()
        began_s = time.monotonic()
        stand.server.kill()
        synced_s = _last_sync_s(log.read_text())
        kept = max((size for at_s, size in sizes if at_s <= synced_s), default=0)
        gone = file.stat().st_size - kept
        os.truncate(file, kept)
        stand.notes.append(f"{gone} bytes of the file forgotten")
        stand.server.start()
        stand.recovers(began_s)
        stand.on_progress(1)


def _watch(file: Path, sizes: list[tuple[float, int]], stop: threading.Event) -> None:
    """Note the size of a file again and again."""
    while not stop.wait(_WATCH_S):
        sizes.append((time.time(), file.stat().st_size))


def tear_tail(stand: Stand, times: int) -> None:
    """Cut the append-only file inside its last record, anywhere: the server must start."""
    stand.settle_load(100)
    stand.drain()
    for aggregator in stand.aggregators:
        aggregator.kill()  # their heartbeats would be the last record
    stand.record_probes()
    stand.server.kill()
    file = _append_only_file(stand)
    content = file.read_bytes()
    last = content.rfind(_MULTI)
    cuts = list(range(last, len(content)))
    cuts = cuts if times >= len(cuts) else sorted(stand.random.sample(cuts, times))
    for number, cut in enumerate(cuts):
        copy = stand.folder / f"torn-{number}"
        shutil.copytree(file.parents[1], copy, ignore=shutil.ignore_patterns("*.sock", "lock"))
        os.truncate(copy / file.parent.name / file.name, cut)
        _check_prefix(stand, copy)
        shutil.rmtree(copy)
        stand.on_progress(1)
    stand.notes.append(f"{len(cuts)} of {len(content) - last} places cut, each started")
    stand.server.start()
    for aggregator in list(stand.aggregators):
        stand.replace(aggregator)
    stand.recovers()


def _check_prefix(stand: Stand, data: Path) -> None:
    """A server starts on the data, and what it holds is a prefix: numbers and entries agree."""
    server = Server(data, stand.needs.binary)
    try:
        for partition in range(stand.settings.partitions):
            numbered = int(server.client.hget(keys.meta(partition), "entries") or 0)
            held = server.client.xlen(keys.readings(partition))
            assert numbered == held, f"partition {partition}: {numbered} numbered, {held} held"
    finally:
        server.close()


@contextlib.contextmanager
def _ballast(stand: Stand) -> Iterator[None]:
    """Fill the file system of the server's data for a while."""
    assert stand.needs.folder is not None
    ballast = stand.needs.folder.parent / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
    try:
        yield
    finally:
        ballast.unlink()


@contextlib.contextmanager
def _strace(stand: Stand, *options: str) -> Iterator[Path]:
    """Trace every thread of the server; what is traced goes to a file."""
    log = stand.folder / "strace.log"
    log.unlink(missing_ok=True)
    pid = str(stand.server.process.pid)
    tracer = Process(["strace", "-f", "-o", str(log), *options, "-p", pid])
    try:
        tracer.wait_for(re.compile("attached"), 10)
        yield log
    finally:
        if tracer.popen.poll() is None:
            tracer.signal(signal.SIGINT)
        with contextlib.suppress(AssertionError):  # it may wait for a child of a killed server
            tracer.end(3)


def _append_only_file(stand: Stand) -> Path:
    """The file that the server appends to now."""
    data = stand.needs.folder or stand.folder / "redis"
    return max((data / "appendonlydir").glob("*.incr.aof"), key=lambda file: file.stat().st_mtime)


def _last_sync_s(log: str) -> float:
    """When the last sync that succeeded began: what was written before is on disk."""
    began: dict[str, float] = {}
    last_s = 0.0
    for line in log.splitlines():
        pid, at_s, *_ = line.split()
        if _SYNC_BEGAN.match(line):
            began[pid] = float(at_s)
        if _SYNC_DONE.search(line) and pid in began:
            last_s = max(last_s, began[pid])
    return last_s
