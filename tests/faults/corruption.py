"""Damaged files of Redis: what a server does with them, and whether the audit finds the rest."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import redis
from support import folding
from support.persistence import is_rewriting
from support.processes import Server
from support.waiting import wait_until

from tributary.model.frame import Block, pack
from tributary.operate import status
from tributary.operate.audit.auditor import Auditor
from tributary.settings import Settings
from tributary.store import keys, redis_client

PARTITIONS = 2
DEVICES = tuple(f"d{number}" for number in range(12))
START_MS = 1_700_000_000_000
_FRAMES = 60  # per phase

# What becomes of a damaged file.
REFUSED = "refused"  # the server does not start
EQUAL = "equal"  # nothing has changed
SHORTER = "shorter"  # the last entries are missing, and everything follows from the others
REPORTED = "reported"  # readings are lost or buried, or the audit lists a difference
UNNOTICED = "unnoticed"  # a value is wrong, and nothing reports it
OUTCOMES = (REFUSED, EQUAL, SHORTER, REPORTED, UNNOTICED)


class Damage(NamedTuple):
    """What is done to which file."""

    kind: str
    file: str  # how its name ends

    def __str__(self) -> str:
        return f"{self.kind}, {'append-only file' if self.file == '.incr.aof' else 'snapshot'}"


DAMAGES = (
    Damage("a bit flipped", ".incr.aof"),
    Damage("some bytes cut out", ".incr.aof"),
    Damage("end cut off", ".incr.aof"),
    Damage("a block of zeros", ".incr.aof"),
    Damage("a bit flipped", ".base.rdb"),
    Damage("end cut off", ".base.rdb"),
)


class Content(NamedTuple):
    """What a server has: the frames of each stream, and every aggregate."""

    frames: tuple[tuple[bytes, ...], ...]
    state: dict[tuple[str, str], bytes]
    documents: dict[bytes, bytes]


class Original:
    """A data directory with readings in its snapshot and in its append-only file, some unread."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder / "original"
        self._random = random.Random(f"readings {seed}")
        self._number = 0
        server = Server(self.folder, appendfsync="always")
        settings = settings_of(server)
        redis_client.prepare(server.client, settings)
        self._append(server.client)
        folding.aggregate(settings, server.client)
        server.client.bgrewriteaof()
        wait_until(lambda: not is_rewriting(server.client), "the file to be rewritten", 30)
        for _ in range(2):
            self._append(server.client)
            folding.aggregate(settings, server.client)
        self._append(server.client)
        server.close()
        with_all = copied(self.folder, folder / "whole")
        self.content = content(with_all)
        with_all.close()

    def _append(self, client: redis.Redis) -> None:
        for _ in range(_FRAMES):
            device = self._random.choice(DEVICES)
            self._number += 1
            values: dict[str, float | bytes]
            values = {"speed": float(self._random.randint(0, 200)), "rpm": self._random.random()}
            blocks = [Block(device, START_MS + 1_000 * self._number, values)]
            partition = keys.partition_of(device, PARTITIONS)
            folding.append_frame(client, partition, pack(blocks), 1)


def settings_of(server: Server) -> Settings:
    """The settings for such a server."""
    return Settings(redis_url=server.url, partitions=PARTITIONS)


def copied(folder: Path, to: Path) -> Server:
    """A server that starts on a copy of a data directory.

    Raises:
        AssertionError: it does not start.
    """
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*.sock", "lock"))
    return Server(to, appendfsync="everysec")


def content(server: Server) -> Content:
    """Apply everything, and read what is then stored."""
    client, settings = server.client, settings_of(server)
    folding.aggregate(settings, client)
    frames: list[tuple[bytes, ...]] = []
    state: dict[tuple[str, str], bytes] = {}
    documents: dict[Any, Any] = {}
    for partition in range(PARTITIONS):
        entries: Any = client.xrange(keys.readings(partition))
        frames.append(tuple(fields.get(b"r", b"") for _, fields in entries))
        documents.update(client.hgetall(keys.latest(partition)))
        names = [(name, metric) for name in DEVICES for metric in ("speed", "rpm")
                 if keys.partition_of(name, PARTITIONS) == partition]  # fmt: skip
        found = folding.packed(client, settings, partition, names)
        state |= {name: bytes(one.state or b"") for name, one in zip(names, found, strict=True)}
    return Content(tuple(frames), state, documents)


def outcome(original: Original, folder: Path, damage: Damage, chance: random.Random) -> str:
    """What becomes of a copy that is damaged somewhere."""
    copy = folder / "damaged"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(original.folder, copy, ignore=shutil.ignore_patterns("*.sock", "lock"))
    (path,) = copy.rglob(f"*{damage.file}")
    path.write_bytes(damaged(path.read_bytes(), damage.kind, chance))
    try:
        server = Server(copy, appendfsync="everysec")
    except AssertionError:
        return REFUSED
    try:
        return _judged(original, server)
    finally:
        server.close()


def damaged(data: bytes, kind: str, chance: random.Random) -> bytes:
    """The bytes of a file with one damage."""
    at = chance.randrange(len(data))
    if kind == "a bit flipped":
        return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
    if kind == "some bytes cut out":
        return data[:at] + data[at + chance.randint(1, 64) :]
    if kind == "end cut off":
        return data[:at]
    block = min(4_096, len(data) - at)
    return data[:at] + bytes(block) + data[at + block :]


def counted(
    original: Original, folder: Path, rounds: int, seed: int
) -> Iterator[tuple[Damage, str]]:
    """Each kind of damage so often; damages and what became of them."""
    chance = random.Random(f"damages {seed}")
    for damage in DAMAGES:
        for _ in range(rounds):
            yield damage, outcome(original, folder, damage, chance)


def table(found: Counter[tuple[Damage, str]]) -> str:
    """Markdown: a line for each kind of damage, a column for each outcome."""
    head = f"| damage | {' | '.join(OUTCOMES)} |\n|{'---|' * (len(OUTCOMES) + 1)}"
    lines = [
        f"| {damage} | {' | '.join(str(found[damage, each]) for each in OUTCOMES)} |"
        for damage in DAMAGES
    ]
    return "\n".join([head, *lines])


def _judged(original: Original, server: Server) -> str:
    """Whether a server that has started has a wrong answer, and whether that is reported."""
    settings, whole = settings_of(server), original.content
    try:
        found = content(server)
    except (redis.ResponseError, msgspec.DecodeError, ValueError, TimeoutError):
        return REPORTED
    if found.frames == whole.frames and found.documents == whole.documents:
        layout = folding.shape_of(settings).layout.state
        if all(_are_close(found.state[name], state, layout) for name, state in whole.state.items()):
            return EQUAL
    auditor = Auditor(server.client, settings)
    if status.read(server.client, settings).lost:
        return REPORTED
    for partition in range(PARTITIONS):
        if auditor.audit(partition).differences or server.client.xlen(keys.dead(partition)):
            return REPORTED
    is_prefix = found.frames != whole.frames and all(
        frames == all_frames[: len(frames)]
        for frames, all_frames in zip(found.frames, whole.frames, strict=True)
    )
    return SHORTER if is_prefix else UNNOTICED


def _are_close(found: bytes, expected: bytes, layout: np.dtype[Any]) -> bool:
    """Whether states differ at most by rounding: entries may have been applied in other batches."""
    if found == expected or len(found) != len(expected):
        return found == expected
    for field in layout.names or ():
        one, other = (_numbers(np.frombuffer(each, layout)[0][field]) for each in (found, expected))
        if not np.allclose(one, other, rtol=1e-9, atol=1e-9, equal_nan=True):
            return False
    return True


def _numbers(field: Any) -> list[float]:
    """Every number in a field of a record, which may be an array of records."""
    if getattr(field, "dtype", None) is not None and field.dtype.names:
        return [n for name in field.dtype.names for n in _numbers(field[name])]
    return [float(n) for n in np.ravel(field)]
