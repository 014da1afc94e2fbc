"""Options, peers and progress bar of `scripts/bench ingest` and `scripts/bench collect`."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from bench import launch, wrk
from bench.peers.peer import Peer
from bench.rounds import Plan, Reconciliation
from tributary.cli import terminal

Function = TypeVar("Function", bound=Callable[..., Any])
FULL = Plan(rounds=5, seconds=5, warmup_s=1, connections=(1, 32, 256))
SHORT = Plan(rounds=1, seconds=1, warmup_s=0, connections=(16,))
_FULL_DIR, _SHORT_DIR = launch.ROOT / "docs/benchmarks", launch.ROOT / "build/benchmarks"


def shared(function: Function) -> Function:
    """Decorate a command with the shared options; `--short` changes their defaults."""
    options = [
        click.option("--short", is_flag=True, help="smoke test: 1 round of 1 s"),
        click.option("--rounds", type=click.IntRange(1), help="number of rounds  [default: 5]"),
        click.option("--seconds", type=click.IntRange(1), help="seconds per measurement  [default: 5]"),
        click.option("--warmup", type=click.IntRange(0), help="seconds of warm-up  [default: 1]"),
        click.option(
            "--connections", metavar="N,…", callback=_numbers,
            help="numbers of keep-alive connections  [default: 1,32,256]",
        ),
        click.option(
            "--to", type=click.Path(file_okay=False, path_type=Path),
            help="output directory  [default: docs/benchmarks; short: build/benchmarks]",
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
    """The plan for these options."""
    base = SHORT if short else FULL
    return Plan(
        base.rounds if rounds is None else rounds,
        base.seconds if seconds is None else seconds,
        base.warmup_s if warmup is None else warmup,
        connections or base.connections,
    )


def folder(to: Path | None, *, short: bool) -> Path:
    """The output directory, created if necessary."""
    chosen = to or (_SHORT_DIR if short else _FULL_DIR)
    chosen.mkdir(parents=True, exist_ok=True)
    return chosen


def installed(peers: Sequence[Peer]) -> tuple[list[Peer], list[str]]:
    """The peers whose programs are installed, and a note for each that is skipped.

    Raises:
        click.UsageError: wrk is missing, or a program that the first peer (Tributary) needs.
    """
    present, skipped = [], []
    for peer in peers:
        missing = [program for program in peer.needs if shutil.which(program) is None]
        if missing:
            skipped.append(f"{peer.name} was skipped: {', '.join(missing)} is not installed")
        else:
            present.append(peer)
    if shutil.which(wrk.PROGRAM) is None or peers[0] not in present:
        raise click.UsageError(
            "wrk and redis-server are required; on Debian: apt install wrk redis-server"
        )
    return present, skipped


@contextlib.contextmanager
def progress(steps: int) -> Iterator[Callable[..., None]]:
    """Show a progress bar on a terminal; yields a function that begins the next step.

    With `advance=0` it only changes the description.
    """
    with terminal.progress(terminal.console()) as bar:
        task = bar.add_task("starting", total=steps)

        def step(description: str, advance: float = 1) -> None:
            bar.update(task, description=description, advance=advance)

        yield step


def _numbers(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        numbers = tuple(int(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise click.BadParameter(f"{text!r} is not a list of positive integers such as 1,32,256")
    return numbers


def fail_on_loss(reconciliations: Sequence[Reconciliation]) -> None:
    """Exit with 1 if stored readings are missing, or exceed those sent."""
    failed = [each for each in reconciliations if each.lost or each.unexplained]
    for each in failed:
        click.echo(f"bench: {each.peer}: {each.lost} readings lost, "
                   f"{each.unexplained} unexplained", err=True)  # fmt: skip
    if failed:
        raise SystemExit(1)
