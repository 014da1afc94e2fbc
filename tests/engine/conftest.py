"""The engine, both images built once, and the services of compose.yaml running."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from engine.engine import PROGRAMS, Engine
from engine.stack import Stack

_SIZES = pytest.StashKey[str]()
# `scripts/containers` runs these: they need root, an engine, and several minutes.
collect_ignore_glob = [] if "CONTAINERS" in os.environ else ["test_*.py"]


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """podman, with substitutes for the base images; skipped where no container can start."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"a container engine needs root; not installed: {', '.join(missing) or '-'}")
    prepared = Engine(tmp_path_factory.mktemp("engine"))
    try:
        prepared.prepare()
        prepared.start_one()
    except (AssertionError, subprocess.SubprocessError) as error:
        pytest.skip(f"this machine cannot run containers: {error}")
    return prepared


@pytest.fixture(scope="session")
def new_stack(engine: Engine, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The services with their images built, not started."""
    made = Stack(engine, f"tributary-test-{os.getpid()}")
    request.config.stash[_SIZES] = made.build()
    yield made
    made.remove()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the sizes of the images."""
    for line in terminalreporter.config.stash.get(_SIZES, "").splitlines():
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def running(new_stack: Stack) -> Stack:
    """The services, started once; tests use `stack`."""
    new_stack.up()
    new_stack.wait_healthy()
    return new_stack


@pytest.fixture
def stack(running: Stack) -> Stack:
    """All services, started again and healthy."""
    running.start()
    return running
