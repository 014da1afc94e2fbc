"""The engine, both images built once, and the services of compose.yaml running."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from support.processes import free_port
from support.waiting import wait_until

from engine.engine import PROGRAMS, Engine, Stack

_TIMEOUT_S = 120.0
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
def new_stack(engine: Engine) -> Stack:
    """The services with their images built, not started."""
    ports = {"ingest": free_port(), "api": free_port()}
    made = Stack(engine, f"tributary-test-{os.getpid()}", ports)
    engine.build("Dockerfile.ingest", made.image("ingest"), made.image("api"))
    engine.build("Dockerfile.worker", made.image("aggregator"), made.image("jobs"))
    return made


@pytest.fixture(scope="session")
def running(new_stack: Stack) -> Iterator[Stack]:
    """The services, started once; tests use `stack`."""
    try:
        new_stack.up()
        yield new_stack
    finally:
        new_stack.remove()


@pytest.fixture
def stack(running: Stack) -> Stack:
    """All services, started again and healthy."""
    running.start()
    for container in running.containers:
        wait_until(lambda: running.is_healthy(container), f"{container} to be healthy", _TIMEOUT_S)  # noqa: B023
    return running
