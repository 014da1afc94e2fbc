"""The code of a commit in a directory of its own."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from bench import launch
from bench.peers.tributary_peer import TRIBUTARY, Program


class Tree(NamedTuple):
    """One side of a comparison; it runs with the dependencies of this environment."""

    name: str
    path: Path

    @property
    def environ(self) -> dict[str, str]:
        """Variables with which `program` and its children import this code."""
        return {"PYTHONPATH": str(self.path), "PYTHONSAFEPATH": "1"}

    @property
    def program(self) -> Program:
        """The command `tributary`."""
        return TRIBUTARY


@contextlib.contextmanager
def checked_out(name: str, commit: str) -> Iterator[Tree]:
    """Extract a commit; raises `click.UsageError` if there is none of this name."""
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        archive = subprocess.run(
            ["git", "archive", commit], cwd=launch.ROOT, capture_output=True, check=False
        )
        if archive.returncode:
            raise click.UsageError(archive.stderr.decode().strip())
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        yield Tree(name, Path(folder))
