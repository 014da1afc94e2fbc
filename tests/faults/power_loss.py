"""Power losses: of what Redis has written since its last sync, any pages may be missing.

A preloaded library records the size of the append-only file at each sync. The server is killed
while readings are appended and applied, its file is changed as a power loss may change it, and what
is then stored is compared with every reading that Redis has acknowledged.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import redis
from support import folding
from support.processes import Server, tributary
from support.waiting import wait_until

from faults.rig import Unsupported
from tributary.model.frame import Block, pack
from tributary.operate import status
from tributary.operate.audit.auditor import Auditor
from tributary.settings import PREFIX, Settings
from tributary.store import keys, redis_client, scripts

PARTITIONS = 2
LEVELS = ("always", "everysec")  # appendfsync
_PAGE = 4_096
# Readings of a frame that is larger than some pages: one of them may be missing within its value,
# and the server does not notice.
_LARGE, _LARGE_EVERY = 1_501, 40
_SOURCE = Path(__file__).parent / "synced.c"


def _dropped(data: bytes, synced: int, _chance: random.Random) -> bytes:
    return data[:synced]


def _torn(data: bytes, synced: int, chance: random.Random) -> bytes:
    return data[: chance.randint(synced, len(data))]


def _zeros(data: bytes, synced: int, _chance: random.Random) -> bytes:
    return data[:synced] + bytes(len(data) - synced)


def _pages(data: bytes, synced: int, chance: random.Random) -> bytes:
    """Each page since the sync is there or zero, whatever the order in which it was written."""
    found = bytearray(data)
    for begin in range(synced // _PAGE * _PAGE, len(data), _PAGE):
        if chance.random() < 0.5:
            first, end = max(begin, synced), min(begin + _PAGE, len(data))
            found[first:end] = bytes(end - first)
    return bytes(found)


def _all_but_one(data: bytes, synced: int, chance: random.Random) -> bytes:
    begin = chance.randrange(synced, len(data)) // _PAGE * _PAGE if synced < len(data) else synced
    first, end = max(begin, synced), min(begin + _PAGE, len(data))
    return data[:first] + bytes(max(0, end - first)) + data[max(first, end) :]


LOSSES: dict[str, Callable[[bytes, int, random.Random], bytes]] = {
    "nothing since the sync": _dropped,
    "a part of it, from the start": _torn,
    "only its length": _zeros,
    "any of its pages": _pages,
    "all but one page": _all_but_one,
}


class Stored(NamedTuple):
    """What is stored after a power loss; counts of readings unless named."""

    lost: int  # acknowledged, and not stored
    dead: int  # acknowledged and stored, but damaged, and buried
    damaged: int  # entries that were applied and are damaged now, which the audit lists
    problems: tuple[str, ...]


class Outcome(NamedTuple):
    """One power loss."""

    level: str
    loss: str
    unsynced_bytes: int
    acknowledged: int  # readings
    is_repaired: bool  # the server started only after its file was repaired
    stored: Stored


class Run:
    """A server that is killed while readings are appended and applied."""

    def __init__(self, folder: Path, library: Path, level: str, seconds: float) -> None:
        self.folder, record = folder / "killed", folder / "synced"
        environ = {"LD_PRELOAD": str(library), "CHAOS_SYNCED": str(record)}
        server = Server(self.folder, environ=environ, appendfsync=level)
        settings = settings_of(server)
        redis_client.prepare(server.client, settings)
        names = {"REDIS_URL": server.url, "PARTITIONS": str(PARTITIONS)}
        environ = {f"{PREFIX}{name}": value for name, value in names.items()}
        aggregator = tributary("aggregator", environ=environ)
        self.tails = [(0, 0)] * PARTITIONS  # the last numbers that were acknowledged
        sender = threading.Thread(target=self._append, args=(server.url,))
        sender.start()
        try:
            aggregator.wait_for(re.compile("aggregator started"))
            wait_until(
                lambda: status.read(server.client, settings).applied, "readings to be applied"
            )
            end_s = time.monotonic() + seconds
            wait_until(lambda: time.monotonic() > end_s, "the power loss")
        finally:
            server.kill()
            sender.join()
            aggregator.kill()
            server.close()
        (self.file,) = self.folder.rglob("*.incr.aof")
        lines = [line.split(" ", 1) for line in record.read_text().splitlines()]
        self.synced = max(int(size) for size, path in lines if path == str(self.file))

    @property
    def acknowledged(self) -> int:
        """Readings that Redis has acknowledged."""
        return sum(readings for _, readings in self.tails)

    def _append(self, url: str) -> None:
        client = redis.Redis.from_url(url)
        number = 0
        while True:
            device = f"d{number % 7}"
            partition = keys.partition_of(device, PARTITIONS)
            size = _LARGE if number % _LARGE_EVERY == 0 else 1
            packed = pack([_column(device, number, size)])
            try:
                entry, reading = folding.append_frame(client, partition, packed, size)
            except redis.RedisError:
                return
            self.tails[partition] = entry, reading
            number += size


def _column(device: str, first: int, size: int) -> Block:
    times, values = (np.arange(first, first + size, dtype=kind) for kind in ("<i8", "<f8"))
    return Block(device, (times + 1_700_000_000_000).tobytes(), {"m": values.tobytes()})


def settings_of(server: Server) -> Settings:
    """The settings for such a server."""
    return Settings(redis_url=server.url, partitions=PARTITIONS)


def library(folder: Path) -> Path:
    """Compile the library that records syncs.

    Raises:
        Unsupported: a C compiler is missing, or this is not Linux.
    """
    if not sys.platform.startswith("linux") or shutil.which("cc") is None:
        raise Unsupported("a power loss needs Linux and a C compiler: apt install gcc libc6-dev")
    found = folder / "synced.so"
    build = ["cc", "-O2", "-shared", "-fPIC", "-o", str(found), str(_SOURCE)]
    subprocess.run(build, check=True, capture_output=True)
    return found


def outcome(run: Run, folder: Path, level: str, loss: str, chance: random.Random) -> Outcome:
    """What a server stores that starts after a power loss."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(run.folder, copy, ignore=shutil.ignore_patterns("*.sock", "lock"))
    (file,) = copy.rglob("*.incr.aof")
    data = file.read_bytes()
    file.write_bytes(LOSSES[loss](data, run.synced, chance))
    server, is_repaired = _started(copy, file)
    try:
        found = _compared(run, server)
    finally:
        server.close()
    if level == "always" and found.lost + found.dead + found.damaged:
        found = found._replace(problems=(*found.problems, "what was synced is lost or damaged"))
    unsynced = len(data) - run.synced
    return Outcome(level, loss, unsynced, run.acknowledged, is_repaired, found)


def _started(folder: Path, file: Path) -> tuple[Server, bool]:
    """A server on a data directory, whose file is repaired as its documentation says if it must."""
    try:
        return Server(folder, appendfsync="everysec"), False
    except AssertionError:
        program = shutil.which("valkey-check-aof") or shutil.which("redis-check-aof")
        if program is None:
            raise Unsupported("repairing needs redis-check-aof: apt install redis-tools") from None
        repair = [program, "--fix", str(file)]
        subprocess.run(repair, input=b"y\n", check=True, capture_output=True)
        return Server(folder, appendfsync="everysec"), True


def _compared(run: Run, server: Server) -> Stored:
    """Apply everything, and compare it with what was acknowledged."""
    client, settings = server.client, settings_of(server)
    problems: list[str] = []
    lost = kept = unacknowledged = 0
    for partition, (entry, reading) in enumerate(run.tails):
        entries: Any = client.xrange(keys.readings(partition))
        found = [int(fields[b"e"]) for _, fields in entries]
        if found != [*range(1, len(found) + 1)]:
            problems.append(f"partition {partition}: the entries are not the first ones")
        last = int(entries[-1][1][b"n"]) if entries else 0
        lost, kept = lost + max(0, reading - last), kept + last
        unacknowledged += max(0, last - reading)
        # As ingest does on its next connection.
        reported = {"run": client.info("server")["run_id"], "acknowledged_by": "before"}
        command = scripts.report_tail(partition, **reported, entries=entry, readings=reading)
        scripts.run(client, command)
    folding.aggregate(settings, client)
    counts = status.read(client, settings)
    if counts.lost != lost:
        problems.append(f"{counts.lost} readings reported as lost, {lost} are")
    if counts.applied + counts.dead != kept:
        problems.append(f"{counts.applied} readings applied, {counts.dead} dead, {kept} stored")
    found_by_audit = [
        each for p in range(PARTITIONS) for each in Auditor(client, settings).audit(p).differences
    ]
    damaged = [each for each in found_by_audit if each.store == "readings"]
    problems += [str(each) for each in found_by_audit if each not in damaged]
    # Of what is stored beyond the acknowledged numbers, no reply was sent before the power loss.
    dead = max(0, counts.dead - unacknowledged)
    return Stored(lost, dead, len(damaged), tuple(problems))


def table(found: list[Outcome]) -> str:
    """Markdown: a line for each level and kind of loss."""
    head = ("appendfsync", "left on disk", "rounds", "bytes since the sync", "acknowledged",
            "lost", "dead", "damaged entries", "repaired", "problems")  # fmt: skip
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for level in LEVELS:
        for loss in LOSSES:
            some = [each for each in found if (each.level, each.loss) == (level, loss)]
            stored = [each.stored for each in some]
            most = max((each.unsynced_bytes for each in some), default=0)
            counts = (
                sum(each.acknowledged for each in some),
                *(sum(part) for part in zip(*(each[:3] for each in stored), strict=True)),
                sum(each.is_repaired for each in some),
                sum(len(each.problems) for each in stored),
            )
            cells = (level, loss, len(some), f"up to {most:,}", *(f"{n:,}" for n in counts))
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def outcomes(folder: Path, rounds: int, seed: int) -> Iterator[Outcome]:
    """Every kind of loss at both levels, `rounds` times."""
    chance, library_ = random.Random(seed), library(folder)
    for number in range(rounds):
        for level in LEVELS:
            place = folder / f"{level}-{number}"
            place.mkdir()
            run = Run(place, library_, level, chance.uniform(0.5, 2.0))
            for loss in LOSSES:
                yield outcome(run, place, level, loss, chance)
            shutil.rmtree(place)
