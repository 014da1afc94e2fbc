"""Fixtures of the tests of `tributary load`."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from support.loading import Load, Table
from support.processes import Deployment, Process

_numbers = itertools.count()


@pytest.fixture
def load(run: Callable[..., Process], deployment: Deployment, tmp_path: Path) -> Load:
    """Run `tributary load` to its end: its exit status and what it printed."""

    def finish(*arguments: object, url: str = deployment.url) -> tuple[int, str]:
        words = [str(argument) for argument in arguments]
        process = run("load", *words, "--url", url, "--state-dir", str(tmp_path / "state"))
        status = process.end()
        assert "Traceback" not in process.text
        return status, process.text

    return finish


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Write a CSV with `rows` readings of a new device."""

    def write(rows: int, device: str | None = None, suffix: str = "") -> Path:
        name = device or f"load-{next(_numbers)}"
        path = tmp_path / f"{name}{suffix}.csv"
        lines = [f"{name},{1_700_000_000 + number},{number}\n" for number in range(rows)]
        path.write_text("".join(["device,time,speed\n", *lines]))
        return path

    return write
