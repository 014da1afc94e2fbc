"""The manifests of kubernetes/, as they are and as kustomize renders them."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.processes import ROOT

FOLDER = ROOT / "kubernetes"
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
# Kinds of the operators of others; their schemas are not part of Kubernetes.
FOREIGN = {"ScaledObject", "TriggerAuthentication", "ServiceMonitor", "PrometheusRule"}
Manifest = dict[str, Any]


def files() -> list[Path]:
    """All files with manifests."""
    return [path for path in sorted(FOLDER.rglob("*.yaml")) if path.name != "kustomization.yaml"]


def written() -> list[Manifest]:
    """Every manifest, before kustomize changes it."""
    return [each for path in files() for each in yaml.safe_load_all(path.read_text())]


@functools.cache
def rendered(overlay: str) -> list[Manifest]:
    """The manifests of an overlay; skips the test if kubectl is not installed."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl, which contains kustomize, is not installed")
    done = subprocess.run(
        ["kubectl", "kustomize", str(FOLDER / "overlays" / overlay)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "unknown field" in done.stderr or "invalid Kustomization" in done.stderr:
        pytest.skip(f"this kubectl is too old: {done.stderr[:200]}")
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The templates of pods, by the name of what starts them."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]
        for each in manifests
        if each["kind"] in {"Deployment", "StatefulSet"}
    }


def containers(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The container of each pod, by the same name."""
    return {name: pod["spec"]["containers"][0] for name, pod in pods(manifests).items()}
