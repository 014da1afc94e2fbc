"""Faults of the server's disk: full, failing, truncated, and writes that were not synced."""

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

from faults.rig import Rig, RigOptions, Unsupported
from tributary.model.clock import utc_ms
from tributary.store import keys

_DISK_BYTES = 16 << 20
_HEAL_TIMEOUT_S = 5.0
_SAMPLE_S = 0.002
_MULTI = b"*1\r\n$5\r\nMULTI\r\n"
_SYNC_BEGAN = re.compile(r"^(\d+) +(\d+\.\d+) (?:fdatasync|fsync)\(")
_SYNC_DONE = re.compile(r"(?:fdatasync|fsync)\b.*= 0\s*$")


@contextlib.contextmanager
def small_disk(folder: Path, options: RigOptions) -> Iterator[RigOptions]:
    """A file system of 16 MiB for the server's data."""
    mountpoint = folder / "disk"
    mountpoint.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(mountpoint)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        raise Unsupported("mounting a small tmpfs needs root")
    try:
        yield options._replace(folder=mountpoint / "redis")
    finally:
        subprocess.run(["umount", "-l", str(mountpoint)], check=False)


def traceable(_folder: Path, options: RigOptions) -> contextlib.AbstractContextManager[RigOptions]:
    """Check that strace can attach to the server."""
    probe = ["strace", "-o", os.devnull, "-e", "trace=fdatasync", "true"]
    if shutil.which("strace") is None or subprocess.run(probe, check=False).returncode:
        raise Unsupported(
            "strace is not installed or not permitted: apt install strace, run as root"
        )
    return contextlib.nullcontext(options)


def fill_disk(rig: Rig, times: int) -> None:
    """Fill the disk of a server with `everysec`, wait for a 503, free it."""
    for _ in rig.repeat(times):
        with _full_disk(rig):
            rig.wait_for_refusal()
            rig.pause(1)
        rig.wait_for_recovery()


def fill_disk_until_exit(rig: Rig, times: int) -> None:
    """Fill the disk of a server with `always`: it exits and is restarted."""
    for _ in rig.repeat(times):
        began_s = time.monotonic()
        with _full_disk(rig):
            process = rig.server.process
            wait_until(lambda p=process: p.popen.poll() is not None, "the server to exit", 30)  # type: ignore[misc]
        rig.server.kill()
        rig.server.start()
        rig.wait_for_recovery(began_s)


def fail_syncs(rig: Rig, times: int) -> None:
    """Fail every fdatasync of the server with EIO for two seconds."""
    for _ in rig.repeat(times):
        before = rig.load.ledger.responses["503"]
        with _strace(rig, "-e", "inject=fdatasync:error=EIO"):
            rig.pause(2)
        began_s = time.monotonic()
        healed = _accepts_writes_again(rig)
        if not healed:  # Redis 7.0 rejects writes, so it never syncs again until restarted
            rig.server.kill()
            rig.server.start()
        rig.wait_for_recovery(began_s)
        rig.notes.append(f"HTTP 503: {rig.load.ledger.responses['503'] - before}")
        rig.notes.append("recovered" if healed else "MISCONF until restarted")


def _accepts_writes_again(rig: Rig) -> bool:
    before = rig.load.ledger.acknowledged
    try:
        wait_until(lambda: rig.load.ledger.acknowledged > before, "a 200", _HEAL_TIMEOUT_S)
    except AssertionError:
        return False
    return True


def lose_unsynced_writes(rig: Rig, times: int) -> None:
    """Simulate a machine crash: kill the server, cut the append-only file at its last sync."""
    for _ in rig.repeat(times):
        sizes: list[tuple[float, int]] = []
        file, stop = _append_only_file(rig), threading.Event()
        sampler = threading.Thread(target=_sample_size, args=(file, sizes, stop))
        with _strace(rig, "-ttt", "-e", "trace=fdatasync,fsync") as log:
            sampler.start()
            try:
                rig.pause(2 + rig.random.random())
                rig.server.process.popen.kill()
                rig.crashes_ms.append(utc_ms())
            finally:
                stop.set()
                sampler.join()
        began_s = time.monotonic()
        rig.server.kill()
        synced_s = _last_sync_s(log.read_text())
        kept = max((size for at_s, size in sizes if at_s <= synced_s), default=0)
        dropped = file.stat().st_size - kept
        os.truncate(file, kept)
        rig.notes.append(f"{dropped} unsynced bytes dropped")
        rig.server.start()
        rig.wait_for_recovery(began_s)


def _sample_size(file: Path, sizes: list[tuple[float, int]], stop: threading.Event) -> None:
    """Sample the size of a file until stopped."""
    while not stop.wait(_SAMPLE_S):
        sizes.append((time.time(), file.stat().st_size))


def truncate_last_record(rig: Rig, times: int) -> None:
    """Truncate the append-only file within its last record: the server must start."""
    rig.wait_for_readings(100)
    rig.drain()
    for aggregator in rig.aggregators:
        aggregator.kill()  # or else the last record is a heartbeat
    rig.record_probes()
    rig.server.kill()
    file = _append_only_file(rig)
    content = file.read_bytes()
    last = content.rfind(_MULTI)
    cuts = list(range(last, len(content)))
    cuts = cuts if times >= len(cuts) else sorted(rig.random.sample(cuts, times))
    for number in rig.repeat(len(cuts)):
        copy = rig.folder / f"truncated-{number}"
        shutil.copytree(file.parents[1], copy, ignore=shutil.ignore_patterns("*.sock", "lock"))
        os.truncate(copy / file.parent.name / file.name, cuts[number])
        _check_prefix(rig, copy)
        shutil.rmtree(copy)
    rig.notes.append(f"{len(cuts)} of {len(content) - last} offsets; the server started each time")
    rig.server.start()
    for aggregator in list(rig.aggregators):
        rig.replace(aggregator)
    rig.wait_for_recovery()


def _check_prefix(rig: Rig, data: Path) -> None:
    """Start a server on the data; its streams must be a prefix: counters and entries agree."""
    server = Server(data, rig.options.binary)
    try:
        for partition in range(rig.settings.partitions):
            appended = int(server.client.hget(keys.meta(partition), "entries") or 0)
            stored = server.client.xlen(keys.readings(partition))
            assert appended == stored, (
                f"partition {partition}: {appended} appended, {stored} stored"
            )
    finally:
        server.close()


@contextlib.contextmanager
def _full_disk(rig: Rig) -> Iterator[None]:
    """Fill the file system of the server's data, and free it at the end."""
    assert rig.options.folder is not None
    filler = rig.options.folder.parent / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def _strace(rig: Rig, *options: str) -> Iterator[Path]:
    """Attach strace to every thread of the server; yields its log."""
    log = rig.folder / "strace.log"
    log.unlink(missing_ok=True)
    pid = str(rig.server.process.pid)
    tracer = Process(["strace", "-f", "-o", str(log), *options, "-p", pid])
    try:
        tracer.wait_for(re.compile("attached"), 10)
        yield log
    finally:
        if tracer.popen.poll() is None:
            tracer.signal(signal.SIGINT)
        with contextlib.suppress(AssertionError):  # it may wait for a child of the killed server
            tracer.end(3)


def _append_only_file(rig: Rig) -> Path:
    """The file to which the server appends."""
    data = rig.options.folder or rig.folder / "redis"
    return max((data / "appendonlydir").glob("*.incr.aof"), key=lambda file: file.stat().st_mtime)


def _last_sync_s(log: str) -> float:
    """When the last successful sync began: everything written before is on disk."""
    began: dict[str, float] = {}
    last_s = 0.0
    for line in log.splitlines():
        pid, at_s, *_ = line.split()
        if _SYNC_BEGAN.match(line):
            began[pid] = float(at_s)
        if _SYNC_DONE.search(line) and pid in began:
            last_s = max(last_s, began[pid])
    return last_s
