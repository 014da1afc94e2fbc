"""The manifests for Kubernetes are valid, name only what exists, and run restricted."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml
from support.processes import ROOT

from api import openapi
from deploy import composefile, manifests
from deploy.manifests import FOREIGN, OVERLAYS, Manifest
from tributary import settings
from tributary.cli import cli
from tributary.model import catalogue
from tributary.operate.status import Status
from tributary.settings import PREFIX, Settings

WRITTEN = manifests.written()
ROLES = {
    name: each
    for name, each in manifests.containers(WRITTEN).items()
    if each["image"].startswith("tributary-")
}
VERSIONS = ["1.30", "1.34"]  # the oldest that `preStop: sleep` works in, and a newer one
PATHS = {"/healthz", "/readyz", "/metrics", "/api/v1/status"}


def of_kind(kind: str, found: list[Manifest] | None = None) -> list[Manifest]:
    return [each for each in found or WRITTEN if each["kind"] == kind]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_matches_the_schema_of_kubernetes(version: str):
    for each in WRITTEN:
        if each["kind"] not in FOREIGN:
            kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_renders_to_valid_manifests(overlay: str):
    found = manifests.rendered(overlay)
    for each in found:
        if each["kind"] not in FOREIGN:
            kubernetes_validate.validate(each, VERSIONS[-1], strict=True)
        if each["kind"] != "Namespace":
            assert each["metadata"]["namespace"] == "tributary"
    assert {"ingest", "api", "aggregator", "jobs"} <= {
        name.removeprefix("tributary-") for name in manifests.pods(found)
    }


def test_the_schema_check_detects_a_misspelled_key():
    wrong = yaml.safe_load(yaml.safe_dump(of_kind("Deployment")[0]).replace("replicas", "replica"))
    wrong["spec"]["stratgy"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="stratgy"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("role", ROLES)
def test_the_commands_of_a_role_exist(role: str):
    container = ROLES[role]
    probes = [each["exec"]["command"] for key, each in container.items() if "exec" in str(each)
              and key.endswith("Probe")]  # fmt: skip
    for program, *words in (container["args"], *probes):
        assert program == "tributary"
        name, *rest = words
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        command.make_context(name, list(rest))
    assert container["args"][1] == role.removeprefix("tributary-") == container["name"]


@pytest.mark.parametrize("role", ROLES)
def test_the_image_of_a_role_is_built_here_and_has_its_user(role: str):
    image = ROLES[role]["image"]
    built = composefile.final_stage(f"Dockerfile.{image.removeprefix('tributary-')}")
    assert f'title="{image}"' in " ".join(built["LABEL"])
    security = manifests.pods(WRITTEN)[role]["spec"]["securityContext"]
    assert built["USER"] == [f"{security['runAsUser']}:{security['runAsGroup']}"]
    ports = [str(each["containerPort"]) for each in ROLES[role].get("ports", [])]
    assert ports == built.get("EXPOSE", [])


def test_the_images_have_the_version_of_the_project():
    base = yaml.safe_load((manifests.FOLDER / "base/kustomization.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {each["name"]: each["newTag"] for each in base["images"]} == {
        container["image"]: version for container in ROLES.values()
    }


def test_every_path_and_field_that_others_ask_for_exists():
    text = "\n".join(path.read_text() for path in manifests.files())
    found = set(re.findall(r"(?:path: |http://[\w-]+)(/\w[\w/]*)", text))
    assert found == PATHS
    assert found <= set(openapi.document(Settings(), "0")["paths"])
    (scaler,) = (each["spec"] for each in of_kind("ScaledObject"))
    trigger = scaler["triggers"][0]["metadata"]
    assert trigger["valueLocation"] in Status.__struct_fields__
    services = {each["metadata"]["name"] for each in of_kind("Service")}
    assert set(re.findall(r"http://([\w-]+)/", text)) <= services


def test_every_setting_exists_and_is_valid():
    names = {PREFIX + field.upper() for field in Settings.__struct_fields__}
    text = "\n".join(path.read_text() for path in manifests.FOLDER.rglob("*.yaml"))
    assert set(re.findall(r"TRIBUTARY_[A-Z_]+", text)) - names == {
        "TRIBUTARY_INGEST_PORT", "TRIBUTARY_API_PORT",  # in a comment: no setting
    }  # fmt: skip
    (common,) = (
        each["data"] for each in of_kind("ConfigMap") if "settings" in str(each["metadata"])
    )
    loaded = settings.load({**common, "TRIBUTARY_REDIS_URL": "redis://redis:6379/0"})
    assert loaded.partitions == 4
    (scaled,) = of_kind("ScaledObject")
    assert scaled["spec"]["maxReplicaCount"] == loaded.partitions


def test_the_catalogue_is_valid_and_reaches_every_role():
    file = manifests.FOLDER / "components/catalogue/metrics.toml"
    assert len(catalogue.load(str(file)).rules) == 1
    for overlay in OVERLAYS:
        for name, container in manifests.containers(manifests.rendered(overlay)).items():
            if name in ROLES:
                (path,) = (Path(each["value"]) for each in container["env"])
                assert path.name == file.name
                assert str(path.parent) in {each["mountPath"] for each in container["volumeMounts"]}


@pytest.mark.parametrize("name", manifests.containers(WRITTEN))
def test_a_pod_is_restricted(name: str):
    """As the pod security standard `restricted` of the namespace demands, and read-only."""
    pod, container = manifests.pods(WRITTEN)[name]["spec"], manifests.containers(WRITTEN)[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False  # its variables would look like settings
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"].keys() == {"requests", "limits"}
    assert container["resources"]["limits"].keys() == {"cpu", "memory"}
    assert "livenessProbe" in container
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()


def test_selectors_select_pods():
    labels = [pod["metadata"]["labels"] for pod in manifests.pods(WRITTEN).values()]
    labels = [{**each, "app.kubernetes.io/part-of": "tributary"} for each in labels]
    for each in WRITTEN:
        spec = each.get("spec", {})
        selector: Any = spec.get("podSelector") or spec.get("selector")
        if each["kind"] in FOREIGN or selector is None:
            continue
        wanted = selector.get("matchLabels", {}) if "match" in str(selector) else selector
        among = selector.get("matchExpressions", [])
        assert any(
            wanted.items() <= found.items()
            and all(found[key["key"]] in key["values"] for key in among)
            for found in labels
        ), each["metadata"]["name"]


def test_every_role_has_a_budget_for_disruptions():
    budgets = {each["metadata"]["name"]: each["spec"] for each in of_kind("PodDisruptionBudget")}
    assert budgets.keys() == ROLES.keys()
    assert all(each["maxUnavailable"] == 1 for each in budgets.values())


def test_no_manifest_contains_a_credential():
    for each in of_kind("Secret"):
        assert each["stringData"] == {"TRIBUTARY_REDIS_URL": "redis://tributary-redis:6379/0"}


def test_a_role_has_time_to_end():
    in_compose = {
        name: int(each["stop_grace_period"].removesuffix("s"))
        for name, each in composefile.services().items()
        if "build" in each
    }
    for name, pod in manifests.pods(WRITTEN).items():
        role = name.removeprefix("tributary-")
        container = manifests.containers(WRITTEN)[name]
        sleeps_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {"seconds": 0})
        grace_s = pod["spec"]["terminationGracePeriodSeconds"] - sleeps_s["seconds"]
        assert grace_s >= in_compose.get(role, 20)
