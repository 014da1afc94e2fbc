"""Folders for containers, and the images, built once."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy import composefile
from deploy.containers import Stack, unwritable
from deploy.dockerignore import Context
from deploy.image import Image, build


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="tributary-deploy-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def folder(open_folder: Path) -> Iterator[Path]:
    """An empty folder that every user may enter."""
    yield from _empty(open_folder)


@pytest.fixture
def other_folder(open_folder: Path) -> Iterator[Path]:
    """One more."""
    yield from _empty(open_folder)


@pytest.fixture(scope="session")
def images(open_folder: Path) -> Iterator[dict[str, Image]]:
    """The image of each role, built as its Dockerfile says, and then read-only."""
    root = composefile.FOLDER.parent
    services = composefile.services()

    def built(name: str) -> Image:
        file = root / services[name]["build"]["dockerfile"]
        uid = int(services[name]["user"].split(":")[0])
        return build(file, Context(root), open_folder / name, uid)

    with ThreadPoolExecutor() as pool:
        ingest, aggregator = pool.map(built, ("ingest", "aggregator"))
    with unwritable(ingest.root), unwritable(aggregator.root):
        yield {"ingest": ingest, "api": ingest, "aggregator": aggregator}


@pytest.fixture(scope="session")
def stack(images: dict[str, Image], open_folder: Path) -> Iterator[Stack]:
    """All services, healthy, for tests that leave them so."""
    for folder in _empty(open_folder):
        yield from _running(Stack(images, folder))


@pytest.fixture
def own_stack(images: dict[str, Image], folder: Path) -> Iterator[Stack]:
    """All services, healthy, for a test that stops some of them."""
    yield from _running(Stack(images, folder))


def _empty(open_folder: Path) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(dir=open_folder))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def _running(stack: Stack) -> Iterator[Stack]:
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
