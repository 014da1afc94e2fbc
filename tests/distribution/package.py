"""Builds the distributions, installs the wheel, and runs it as a new user would."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from support.processes import READY, ROOT, Process, request
from support.waiting import wait_until

PACKAGES = ("tributary", "ingest", "aggregator", "bridge", "api", "jobs")
# What a wheel is built from, besides the packages.
BUILT_FROM = {"LICENSE", "README.md", "pyproject.toml", "setup.py"}
# Pages that need the files beside the code, and the history, which runs its migrations.
_PAGES = ("/", "/docs", "/openapi.json", "/api/v1/status", "/metrics")
_START_TIMEOUT_S = 120.0


class Built(NamedTuple):
    """The two files of a release."""

    sdist: Path
    wheel: Path


def build(folder: Path) -> Built:
    """Build the source distribution, and from it the wheel, into `folder`."""
    # A copy, because setuptools writes into the folder that it builds, and reads what it left there.
    source = folder / "source"
    for name in tracked(*PACKAGES, *BUILT_FROM):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    words = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)]
    _run(words)
    shutil.rmtree(source)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Built(sdist, wheel)


def tracked(*names: str) -> set[str]:
    """The files below these names that git knows and that exist."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *names]
    return {name for name in _run(words, cwd=ROOT).splitlines() if (ROOT / name).is_file()}


def expected_in_wheel() -> set[str]:
    """The files of the packages, where the wheel has them."""
    return {
        name if name.startswith("tributary/") else f"tributary/roles/{name}"
        for name in tracked(*PACKAGES)
    }


def in_wheel(wheel: Path) -> set[str]:
    """The files of a wheel without its metadata."""
    with zipfile.ZipFile(wheel) as opened:
        return {name for name in opened.namelist() if ".dist-info/" not in name}


def in_sdist(sdist: Path) -> set[str]:
    """The files of a source distribution without what setuptools adds."""
    with tarfile.open(sdist) as opened:
        names = {each.name.partition("/")[2] for each in opened if each.isfile()}
    return {name for name in names if ".egg-info/" not in name and name not in ADDED}


ADDED = {"PKG-INFO", "setup.cfg"}


def differences(built: Built) -> list[str]:
    """What is missing in the files of a release, or should not be there."""
    found = []
    for path, held, expected in (
        (built.wheel, in_wheel(built.wheel), expected_in_wheel()),
        (built.sdist, in_sdist(built.sdist), tracked(*PACKAGES) | BUILT_FROM),
    ):
        found += [f"{path.name} lacks {name}" for name in sorted(expected - held)]
        found += [f"{path.name} also has {name}" for name in sorted(held - expected)]
    return found


def install(python: str, folder: Path, wheel: Path, *, site: str = "") -> Path:
    """Install the wheel into a new environment; its `bin`.

    Args:
        python: the interpreter of the environment.
        folder: of the environment; it is created.
        wheel: what to install.
        site: a folder with the dependencies; by default, the locked ones are installed.
    """
    _run([python, "-m", "venv", "--without-pip", str(folder)])
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "--quiet"]
    if site:
        (purelib,) = folder.glob("lib/python*/site-packages")
        # The folder itself, not the editable install in it.
        (purelib / "dependencies.pth").write_text(site + "\n")
    else:
        locked = ["--only-binary", ":all:", "--require-hashes", "-r", "requirements.lock"]
        _run([*pip, "install", *locked], cwd=ROOT)
    _run([*pip, "install", "--no-deps", "--no-index", str(wheel)])
    if not site:
        _run([*pip, "check"])
    return folder / "bin"


def try_out(programs: Path, folder: Path) -> str:
    """Start everything in an empty folder, record, collect, stop in order; the version.

    Raises:
        AssertionError: something does not work; the message has the output.
    """
    command = str(programs / "tributary")
    version = _run([command, "--version"], cwd=folder).split()[-1]
    up = Process([command, "up", "--port", "0"], is_forked=False, cwd=folder)
    try:
        url = up.wait_for(READY, _START_TIMEOUT_S)[1]
        body = {"device": "car-7", "engine_temperature": 92.25}
        assert request(url, "POST", "/record", body, {}) == (200, {"success": True}), up.text
        collected = wait_until(lambda: _collected(url), "the reading at /collect", 30)
        assert collected["current_engine_temperature"] == 92.25, collected
        for path in _PAGES:
            status, content = request(url, "GET", path, None, {})
            assert status == 200, (path, content, up.text)
            assert path != "/openapi.json" or content["info"]["version"] == version
        wait_until(lambda: _is_archived(url), "the reading in the history", 60)
        assert up.stop() == 0, up.text
    finally:
        up.kill()
    assert not re.search(r"error|traceback", up.text, re.IGNORECASE), up.text
    return version


def _collected(url: str) -> dict[str, float] | None:
    status, found = request(url, "GET", "/collect?device=car-7", None, {})
    return found if status == 200 else None


def _is_archived(url: str) -> bool:
    """Whether the history, which is created by then, has every reading."""
    found = request(url, "GET", "/api/v1/status", None, {})[1]["history"]
    return found is not None and found["lag_entries"] == 0


def _run(words: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout
