"""The wheel has all files and only its own top-level package, and works; see `scripts/package`."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
from support.processes import ROOT

import tributary
from distribution import package
from distribution.package import Built

ROLES = ("ingest", "aggregator", "bridge", "api", "jobs")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return package.build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def programs(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel and the dependencies of this one."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    site = sysconfig.get_path("purelib")
    return package.install(sys.executable, folder, built.wheel, site=site)


def test_the_distributions_have_every_file_and_no_other(built: Built):
    assert package.differences(built) == []
    assert {name.partition("/")[0] for name in package.in_wheel(built.wheel)} == {"tributary"}


def test_the_installed_wheel_runs(programs: Path, tmp_path: Path):
    assert package.try_out(programs, tmp_path) == tributary.__version__


def run(programs: Path, *words: str, **environ: str) -> str:
    done = subprocess.run(
        [programs / words[0], *words[1:]], capture_output=True, text=True, check=False, env=environ
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_packages_of_the_same_names_neither_replace_roles_nor_are_replaced(
    programs: Path, tmp_path: Path
):
    for name in ROLES:
        (tmp_path / f"{name}.py").write_text("WHOSE = 'another distribution'")
    for command in ("ingest", "aggregator", "mqtt", "api", "jobs"):
        assert "Example:" in run(programs, "tributary", command, "--help", PYTHONPATH=str(tmp_path))
    code = f"import {','.join(ROLES)}, tributary.client; print(api.WHOSE)"
    assert "another" in run(programs, "python", "-P", "-c", code, PYTHONPATH=str(tmp_path))


def test_every_package_is_in_the_distribution():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"bench"}
    assert packages == set(package.PACKAGES) == {"tributary", *ROLES}
    assert f"ROLES = {ROLES}".replace("'", '"') in (ROOT / "setup.py").read_text()


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    manifests = [ROOT / "kubernetes/README.md", ROOT / "kubernetes/base/kustomization.yaml"]
    tags = re.findall(
        r"(?:newTag: |tributary-(?:ingest|worker):)([\w.]+)",
        "".join(path.read_text() for path in manifests),
    )
    released = re.findall(r"^## (\d+\S*) - ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert {project["version"], *tags, *released[:1]} == {tributary.__version__}
    series = tributary.__version__.rpartition(".")[0]
    assert f"\n| {series} | yes |\n" in (ROOT / "SECURITY.md").read_text()
