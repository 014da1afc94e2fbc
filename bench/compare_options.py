"""What `scripts/bench ingest` and `scripts/bench collect` have in common."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from bench import launch, wrk
from bench.peers.peer import Peer
from bench.rounds import Kept, Plan
from tributary.cli import terminal

Function = TypeVar("Function", bound=Callable[..., Any])
FULL = Plan(rounds=5, seconds=5, warmup_s=1, connections=(1, 32, 256))
SHORT = Plan(rounds=1, seconds=1, warmup_s=0, connections=(16,))
_FULL_DIR, _SHORT_DIR = launch.ROOT / "docs/benchmarks", launch.ROOT / "build/benchmarks"


def shared(function: Function) -> Function:
    """Decorate a command with the options of both; `--short` changes what is not given."""
    options = [
        click.option("--short", is_flag=True, help="see only that it runs: 1 round of 1 s"),
        click.option("--rounds", type=click.IntRange(1), help="rounds  [default: 5]"),
        click.option("--seconds", type=click.IntRange(1), help="of each measurement  [default: 5]"),
        click.option("--warmup", type=click.IntRange(0), help="seconds before it  [default: 1]"),
        click.option(
            "--connections", metavar="N,…", callback=_numbers,
            help="kept connections  [default: 1,32,256]",
        ),
        click.option(
            "--to", type=click.Path(file_okay=False, path_type=Path),
            help="directory of the results  [default: docs/benchmarks; short: build/benchmarks]",
        ),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def plan(
    *,
    short: bool,
    rounds: int | None,
    seconds: int | None,
    warmup: int | None,
    connections: tuple[int, ...] | None,
) -> Plan:
    """The plan that the options make."""
    base = SHORT if short else FULL
    return Plan(
        base.rounds if rounds is None else rounds,
        base.seconds if seconds is None else seconds,
        base.warmup_s if warmup is None else warmup,
        connections or base.connections,
    )


def folder(to: Path | None, *, short: bool) -> Path:
    """The directory of the results, made if it is not there."""
    chosen = to or (_SHORT_DIR if short else _FULL_DIR)
    chosen.mkdir(parents=True, exist_ok=True)
    return chosen


def present(peers: Sequence[Peer]) -> tuple[list[Peer], list[str]]:
    """The peers that can run here, and a line for each that cannot.

    The first is Tributary: without what it needs, and without wrk, nothing can be measured.
    """
    found, skipped = [], []
    for peer in peers:
        missing = [program for program in peer.needs if shutil.which(program) is None]
        if missing:
            skipped.append(f"{peer.name} was left out: {', '.join(missing)} is not installed")
        else:
            found.append(peer)
    if shutil.which(wrk.PROGRAM) is None or peers[0] not in found:
        raise click.UsageError(
            "wrk and redis-server are needed; on Debian: apt install wrk redis-server"
        )
    return found, skipped


class Bar:
    """A progress bar over a known number of steps; nothing where there is no terminal."""

    def __init__(self, update: Callable[[str, float], None]) -> None:
        self._update = update

    def step(self, what: str) -> None:
        """One more step begins."""
        self._update(what, 1)

    def part(self, what: str, steps: float) -> None:
        """Some part of a step is done."""
        self._update(what, steps)


@contextlib.contextmanager
def bar(steps: int) -> Iterator[Bar]:
    """Show how far a long measurement is."""
    console = terminal.console()
    with terminal.progress(console) as progress:
        task = progress.add_task("starting", total=steps)

        def update(what: str, advance: float) -> None:
            progress.update(task, description=what, advance=advance)

        yield Bar(update)


def _numbers(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        numbers = tuple(int(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise click.BadParameter(f"{text!r} is not a list of positive numbers such as 1,32,256")
    return numbers


def judge(kept: Sequence[Kept]) -> None:
    """Exit with 1 if readings are missing, or more than anybody has sent."""
    wrong = [k for k in kept if k.lost or k.surplus]
    for k in wrong:
        click.echo(f"bench: {k.peer}, round {k.round + 1}: {k.lost} readings are lost, "
                   f"{k.surplus} are unexplained", err=True)  # fmt: skip
    if wrong:
        raise SystemExit(1)
