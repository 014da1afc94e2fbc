"""Kill processes of `tributary up` at random times of its start and stop, and look for orphans.

Each round starts `up` on the same port and data directory, sends a random signal to one process of
its tree at a random time, stops `up` if it is still running, and checks that no process is left and
the port is closed. The next round checks that `up` starts again.
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
_START_S = 2.5  # approximate duration of a start
_SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MARK = "CHAOS_TREE"  # in the environment of every process of the tree
READY = re.compile("tributary: ready on")


class Round(NamedTuple):
    """What one round did, and the problems it found."""

    phase: str
    after_s: float
    victim: str
    signal: str
    problems: list[str]


def run_round(port: int, data_dir: Path, rng: random.Random) -> Round:
    """Run one round; problems are in its result."""
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
    victim = _signal_one(members(mark, data_dir), number, rng)
    problems = _stop(up, mark, data_dir, port)
    return Round(phase, after_s, victim, number.name, problems)


def _signal_one(tree: dict[int, str], number: signal.Signals, rng: random.Random) -> str:
    """Send a signal to a random process of the tree; returns its command line."""
    if not tree:
        return "no process"
    pid = rng.choice(sorted(tree))
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return f"{tree[pid]} (already exited)"
    return tree[pid]


def _stop(up: Process, mark: str, data_dir: Path, port: int) -> list[str]:
    problems = []
    # After the signal `up` either keeps running or exits; if it keeps running, stop it.
    wait_for(lambda: up.popen.poll() is not None, 0.3)
    if up.popen.poll() is None:
        up.signal(signal.SIGTERM)
    if not wait_for(lambda: up.popen.poll() is not None, _STOPS_WITHIN_S):
        problems.append(f"up is still running after {_STOPS_WITHIN_S} s")
        up.kill()
    # Until `up` installs its handlers, Python prints a traceback on SIGINT.
    if "Traceback" in up.text and "KeyboardInterrupt" not in up.text:
        problems.append(f"up printed a traceback: {up.text[-2000:]}")
    problems += left_behind(mark, data_dir, port)
    for pid in members(mark, data_dir):
        os.kill(pid, signal.SIGKILL)
    up.end()
    return problems


def left_behind(mark: str, data_dir: Path, port: int) -> list[str]:
    """Processes with this mark or directory, and an open port, after `GONE_WITHIN_S`.

    Both are checked: a process that exits or execs has no readable environment for a moment, but
    still has its sockets.
    """
    if wait_for(lambda: not members(mark, data_dir) and not _is_open(port), GONE_WITHIN_S):
        return []
    problems = [f"orphan {pid}: {line}" for pid, line in members(mark, data_dir).items()]
    return [*problems, f"port {port} is still open"] if _is_open(port) else problems


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def members(mark: str, data_dir: Path) -> dict[int, str]:
    """The processes of a tree and their command lines, except zombies.

    They have the mark in their environment, or run in the data directory like the server, whose
    process title overwrites its environment.
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
        except OSError:  # exited, or a zombie
            continue
    return found


def starts_again(port: int, data_dir: Path) -> list[str]:
    """The problems of a last start and stop without a signal."""
    up = tributary("up", "--port", str(port), "--data-dir", str(data_dir))
    is_ready = wait_for(lambda: READY.search(up.text) or up.popen.poll() is not None, 60)
    status = up.stop()
    return [] if is_ready and status == 0 else [f"up does not restart: {up.text[-2000:]}"]


def wait_for(condition: Callable[[], object], timeout_s: float) -> bool:
    """Wait for a condition; whether it became true in time."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if condition():
            return True
        time.sleep(0.005)
    return bool(condition())


def free_port() -> int:
    """A currently unused port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@click.command("tree", epilog="Example: scripts/chaos tree --rounds 200 --seed 1")
@click.option("--rounds", default=200, show_default=True, help="starts of `up`, one kill each")
@click.option("--seed", type=int, help="seed of the times, the processes and the signals")
def command(rounds: int, seed: int | None) -> None:
    """Kill processes of `up` during start and stop.

    Counts orphaned processes and failed starts.
    """
    seed = random.SystemRandom().randrange(1 << 16) if seed is None else seed
    rng, port, bad = random.Random(seed), free_port(), 0
    with tempfile.TemporaryDirectory(prefix="tributary-tree-") as folder:
        data_dir = Path(folder) / "data"
        for _ in track(range(rounds), description=f"killing, seed {seed}", transient=True):
            done = run_round(port, data_dir, rng)
            if done.problems:
                bad += 1
                click.echo(f"{done.phase} +{done.after_s:.3f} s {done.signal} {done.victim}")
                for problem in done.problems:
                    click.echo(f"  {problem}")
        problems = starts_again(port, data_dir)
    for problem in problems:
        click.echo(problem)
    click.echo(
        f"{rounds} kills during start and stop, seed {seed}: {bad} rounds with problems; "
        f"last start {'failed' if problems else 'ok'}"
    )
    sys.exit(1 if bad or problems else 0)
