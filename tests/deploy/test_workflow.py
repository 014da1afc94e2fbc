"""The workflow of CI is valid, calls `.ci/run`, and has no more permissions than it needs."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import yaml
from support.processes import ROOT

FILE = ROOT / ".github/workflows/ci.yml"
AUDIT = ROOT / ".github/workflows/audit.yml"
WORKFLOW: dict[str, Any] = yaml.safe_load(FILE.read_text())
JOBS: dict[str, Any] = WORKFLOW["jobs"]


def test_the_files_match_their_schemas():
    for schema, file in (
        ("vendor.github-workflows", FILE),
        ("vendor.github-workflows", AUDIT),
        ("vendor.dependabot", ROOT / ".github/dependabot.yml"),
    ):
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_everything_is_checked_before_anything_is_published():
    assert {".ci/run"} == {
        step["run"] for step in JOBS["check"]["steps"] if "ci" in step.get("run", "")
    }
    parts = JOBS["whole"]["strategy"]["matrix"]["part"]
    assert JOBS["whole"]["steps"][-1]["run"] == ".ci/run ${{ matrix.part }}"
    functions = re.findall(r"^(\w+)\(\) \{", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert {*parts, "lint", "suite", "containers"} <= set(functions)
    assert JOBS["images"]["needs"] == ["check", "whole", "containers"]
    assert JOBS["packages"]["needs"] == ["check", "whole"]
    assert JOBS["publish"]["needs"] == ["packages", "images"]
    tag = "startsWith(github.ref, 'refs/tags/v')"
    assert JOBS["publish"]["if"] == tag
    pushed = [step["with"]["push"] for step in JOBS["images"]["steps"] if "build-push" in str(step)]
    assert pushed == [f"${{{{ {tag} }}}}"]


def test_permissions_are_minimal_and_no_secret_is_stored():
    assert WORKFLOW["permissions"] == {"contents": "read"}
    granted = {name: job["permissions"] for name, job in JOBS.items() if "permissions" in job}
    assert granted == {
        "images": {"contents": "read", "packages": "write"},
        "publish": {"id-token": "write"},
    }
    assert "secrets." not in FILE.read_text()
    for job in JOBS.values():
        assert job["timeout-minutes"] <= 30
        for step in job["steps"]:
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def test_no_step_runs_text_that_a_pull_request_controls():
    for job in JOBS.values():
        for step in job["steps"]:
            assert not re.search(r"\$\{\{.*(title|body|head_ref|name)\b", step.get("run", ""))


def test_the_images_are_those_that_exist():
    for image in JOBS["images"]["strategy"]["matrix"]["image"]:
        assert (ROOT / f"Dockerfile.{image}").is_file()


def test_the_audit_covers_every_lock_file_and_has_no_permissions():
    workflow = yaml.safe_load(AUDIT.read_text())
    commands = [step["run"] for step in workflow["jobs"]["packages"]["steps"] if "run" in step]
    audited = {name for each in commands for name in re.findall(r"requirements[\w-]*\.lock", each)}
    # That of benchmarks includes that of development.
    assert audited == {"requirements.lock", "requirements-bench.lock"}
    packages = [
        set(re.findall(r"^(\S+==\S+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements.lock", "requirements-dev.lock", "requirements-bench.lock")
    ]
    assert packages[0] <= packages[1] <= packages[2]
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in AUDIT.read_text()
