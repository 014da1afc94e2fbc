"""`scripts/chaos upgrade`: replace the processes of the previous release one by one under load."""

from __future__ import annotations

import contextlib
import io
import random
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from support.processes import ROOT
from support.waiting import wait_until

from faults import restart_command
from faults.rig import Unsupported
from faults.rolling import Outcome, Rolling
from faults.rolling_node import Node
from tributary.store import keys

PREVIOUS = "4e55f69"  # the last commit of format 2
_READINGS = 500  # before the first and after the last restart
_TIMEOUT_S = 120.0


def export(commit: str, folder: Path) -> Path:
    """Write the files of a commit into a folder.

    Raises:
        Unsupported: the clone does not have the commit.
    """
    words = ["git", "-C", str(ROOT), "archive", "--format=tar", commit]
    done = subprocess.run(words, capture_output=True, check=False)
    if done.returncode:
        raise Unsupported(f"this clone has no commit {commit}; git fetch --unshallow gets it")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as opened:
        opened.extractall(folder, filter="data")
    return folder


def run(folder: Path, previous: str, seed: int) -> Outcome:
    """Start the previous release, replace every process, and compare.

    Raises:
        AssertionError: a process did not start, or the load stopped.
        Unsupported: the clone does not have the commit.
    """
    old = export(previous, folder / "previous")
    with contextlib.closing(Rolling(folder, seed, old)) as rolling:
        rolling.load.wait_for(_READINGS)
        before = _format(rolling)
        for node in rolling.nodes:
            rolling.restart(node)
        rolling.load.wait_for(rolling.load.ledger.acknowledged + _READINGS)
        wait_until(lambda: _is_moved(rolling), "all series to be moved", _TIMEOUT_S)
        if before != _format(rolling):
            rolling.problems += _starts_again(rolling, old)
        return rolling.outcome()


def _format(rolling: Rolling) -> str:
    found = rolling.server.client.hget(keys.CONFIG, "format")
    assert isinstance(found, bytes)
    return found.decode()


def _is_moved(rolling: Rolling) -> bool:
    partitions = range(rolling.settings.partitions)
    return not rolling.server.client.exists(*(keys.state(partition) for partition in partitions))


def _starts_again(rolling: Rolling, old: Path) -> Iterator[str]:
    """A problem if the previous release starts on data that it cannot read."""
    node = Node("aggregator", rolling.server.url, 0)
    node.start(old, rolling.shared)
    assert node.process is not None
    status, text = node.process.end(_TIMEOUT_S), node.process.text
    if status != 2 or "format is 3 in Redis, 2 here" not in text:
        yield f"the previous release ended with {status}, not with a refusal: {text[-500:]}"


@click.command("upgrade", epilog="Example: scripts/chaos upgrade --previous 4e55f69")
@click.option("--previous", default=PREVIOUS, show_default=True, help="commit to upgrade from")
@click.option("--seed", type=int, help="seed of the load; random by default, and printed")
def command(previous: str, seed: int | None) -> None:
    """Upgrade two processes of each role from a commit to the working tree, under load.

    In the order of docs/operating.md. Counts lost and duplicated readings, and checks that all data
    is moved and the previous release no longer starts; needs nginx.
    """
    seed = random.SystemRandom().randrange(1 << 16) if seed is None else seed
    with tempfile.TemporaryDirectory(prefix="tributary-upgrade-") as folder:
        try:
            outcome = run(Path(folder), previous, seed)
        except Unsupported as error:
            raise click.ClickException(str(error)) from None
    for line in restart_command.lines(outcome, f"upgrade from {previous}, seed {seed}"):
        click.echo(line)
    click.echo(f"  responses: recording {dict(outcome.sent)}, collecting {dict(outcome.collected)}")
    sys.exit(1 if outcome.violations else 0)
