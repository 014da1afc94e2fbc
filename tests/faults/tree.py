"""Processes of `tributary up` killed at random moments of its start and stop: who is left?

Each round starts `up` on the same port and data directory, kills one process of its tree with a
random signal at a random moment, ends `up` if it is still there, and looks for processes that
are left and for the port. That the next round starts is part of the test.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click
from rich.progress import track
from support.processes import Process, tributary

GONE_WITHIN_S = 5.0
_STOPS_WITHIN_S = 25.0
_START_S = 2.5  # about what a start takes; moments are drawn from a little more
_SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MARK = "CHAOS_TREE"  # in the environment of every process of the tree
READY = re.compile("tributary: ready on")


class Round(NamedTuple):
    """What was done in one round, and what was wrong after it; an empty list: nothing."""

    phase: str
    after_s: float
    victim: str
    signal: str
    wrong: list[str]


def play(port: int, data_dir: Path, rng: random.Random) -> Round:
    """One round; raises nothing: what goes wrong is in its result."""
    mark = uuid.uuid4().hex
    up = tributary(
        "up", "--port", str(port), "--data-dir", str(data_dir), "--log-level", "ERROR",
        environ={MARK: mark},
    )  # fmt: skip
    phase = rng.choice(("start", "start", "stop"))
    if phase == "stop":
        wait_for(lambda: READY.search(up.text) or up.popen.poll() is not None, 60)
        up.signal(signal.SIGTERM)
        after_s = rng.random()
    else:
        after_s = rng.random() * _START_S
    wait_for(lambda: False, after_s)
    number = rng.choice(_SIGNALS)
    victim = _strike(members(mark, data_dir), number, rng)
    wrong = _end(up, mark, data_dir, port)
    return Round(phase, after_s, victim, number.name, wrong)


def _strike(tree: dict[int, str], number: signal.Signals, rng: random.Random) -> str:
    """Send a signal to one process of the tree; its command line."""
    if not tree:
        return "nobody"
    pid = rng.choice(sorted(tree))
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return f"{tree[pid]} (just gone)"
    return tree[pid]


def _end(up: Process, mark: str, data_dir: Path, port: int) -> list[str]:
    wrong = []
    # Whatever was struck, `up` goes on or ends by itself; then it is asked to end.
    wait_for(lambda: up.popen.poll() is not None, 0.3)
    if up.popen.poll() is None:
        up.signal(signal.SIGTERM)
    if not wait_for(lambda: up.popen.poll() is not None, _STOPS_WITHIN_S):
        wrong.append(f"up is still there after {_STOPS_WITHIN_S} s")
        up.kill()
    # Until `up` has its own handlers, Python reports SIGINT by a traceback.
    if "Traceback" in up.text and "KeyboardInterrupt" not in up.text:
        wrong.append(f"up printed a traceback: {up.text[-2000:]}")
    wrong += left_behind(mark, data_dir, port)
    for pid in members(mark, data_dir):
        os.kill(pid, signal.SIGKILL)
    up.end()
    return wrong


def left_behind(mark: str, data_dir: Path, port: int) -> list[str]:
    """What is still there after `GONE_WITHIN_S`: processes with this mark or directory, an open port.

    Both are asked for again: a process that ends or execs has no environment to read for a moment,
    but still its sockets.
    """
    if wait_for(lambda: not members(mark, data_dir) and not _is_open(port), GONE_WITHIN_S):
        return []
    wrong = [f"orphan {pid}: {line}" for pid, line in members(mark, data_dir).items()]
    return [*wrong, f"port {port} is still open"] if _is_open(port) else wrong


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def members(mark: str, data_dir: Path) -> dict[int, str]:
    """The processes of a tree and their commands, zombies left out.

    They have the mark in their environment, or work in the data directory: the server does, whose
    title replaces its environment.
    """
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            is_marked = f"{MARK}={mark}".encode() in (entry / "environ").read_bytes()
            if is_marked or (entry / "cwd").readlink() == data_dir:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                found[int(entry.name)] = line
        except OSError:  # it is gone, or a zombie
            continue
    return found


def starts_again(port: int, data_dir: Path) -> list[str]:
    """What is wrong with a last, undisturbed start and stop."""
    up = tributary("up", "--port", str(port), "--data-dir", str(data_dir))
    is_ready = wait_for(lambda: READY.search(up.text) or up.popen.poll() is not None, 60)
    status = up.stop()
    return [] if is_ready and status == 0 else [f"up does not start again: {up.text[-2000:]}"]


def wait_for(condition: Callable[[], object], timeout_s: float) -> bool:
    """Whether a condition has become true in time."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if condition():
            return True
        time.sleep(0.005)
    return bool(condition())


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@click.command("tree", epilog="Example: scripts/chaos tree --rounds 200 --seed 1")
@click.option("--rounds", default=200, show_default=True, help="kills, one per start of `up`")
@click.option("--seed", type=int, help="of the moments, the processes and the signals")
def command(rounds: int, seed: int | None) -> None:
    """Kill processes of `up` while it starts and stops; count orphans and failed starts."""
    seed = random.SystemRandom().randrange(1 << 16) if seed is None else seed
    rng, port, bad = random.Random(seed), free_port(), 0
    with tempfile.TemporaryDirectory(prefix="tributary-tree-") as folder:
        data_dir = Path(folder) / "data"
        for _ in track(range(rounds), description=f"killing, seed {seed}", transient=True):
            done = play(port, data_dir, rng)
            if done.wrong:
                bad += 1
                click.echo(f"{done.phase} +{done.after_s:.3f} s {done.signal} {done.victim}")
                for each in done.wrong:
                    click.echo(f"  {each}")
        wrong = starts_again(port, data_dir)
    for each in wrong:
        click.echo(each)
    click.echo(
        f"{rounds} kills at random moments of start and stop, seed {seed}: "
        f"{bad} rounds left something behind or failed; last start {'failed' if wrong else 'ok'}"
    )
    sys.exit(1 if bad or wrong else 0)
