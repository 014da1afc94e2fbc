"""compose/README.md: its commands exist, and those that need no engine are run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.programs import needed
from support.waiting import wait_until

from deploy import composefile
from deploy.containers import Container, Stack, free_port, redis_container
from tributary.settings import PREFIX, Settings

TEXT = (composefile.FOLDER / "README.md").read_text()
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
]
# Of the command line reference of Docker Compose; nothing here can ask the program itself.
OPTIONS = {
    "up": {"--build", "--detach", "--wait", "--scale"},
    "down": {"--volumes"},
    "exec": {"-T"},
    "run": {"--rm", "--no-deps", "-T"},
    "build": {"--pull"},
    "logs": {"--follow"},
    "restart": set(),
}
PASSWORD = {"REDIS_PASSWORD": "not-a-secret"}


def compose_commands(*subcommands: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """(subcommand, its options, the words after them) of every call of docker compose."""
    for words in COMMANDS:
        if words[:2] == ["docker", "compose"] and words[2] in (subcommands or OPTIONS):
            rest = words[3:]
            count = next((n for n, each in enumerate(rest) if not each.startswith("-")), len(rest))
            yield words[2], rest[:count], rest[count:]


def inner(subcommand: str, program: str) -> list[list[str]]:
    """What is run inside the container redis by a program, redirections taken off."""
    found = []
    for _, _, (service, *words) in compose_commands(subcommand):
        if words[0] == program:
            assert service == "redis"
            found.append([each for each in words if each not in "<>"])
    return found


def test_every_command_is_one_that_we_know():
    assert {words[0] for words in COMMANDS} == {"docker", "curl", "cp"}
    assert len(list(compose_commands())) == sum(words[0] == "docker" for words in COMMANDS)
    for subcommand, options, rest in compose_commands():
        assert set(options) <= OPTIONS[subcommand], (subcommand, options)
        if rest and options[-1:] != ["--scale"]:
            assert rest[0] in composefile.services()
        elif rest:
            assert rest == ["aggregator=4"]


def test_every_name_in_the_text_exists():
    known = {PREFIX + name.upper() for name in Settings.__struct_fields__}
    known |= composefile.examples().keys()
    mentioned = set(re.findall(r"`([A-Z][A-Z_]{3,})[`=]", TEXT))
    assert mentioned
    assert mentioned <= known
    for file in re.findall(r"`([\w.]+\.(?:yaml|conf|example))`", TEXT):
        assert (composefile.FOLDER / file).is_file()


@contextmanager
def server(folder: Path, first: Callable[[Container], object] = id) -> Iterator[Container]:
    """The service redis with its data below a folder, after something is done there."""
    service = composefile.services(PASSWORD)["redis"]
    running = redis_container(service, folder, free_port())
    first(running)
    running.start()
    try:
        running.wait_until_healthy()
        yield running
    finally:
        running.process.stop()


def call(redis: Container, words: list[str], given: bytes = b"") -> bytes:
    """A command of the README in the container, on our port and folder."""
    at = redis.health[1:3] if words[0] == "valkey-cli" else []
    local = [words[0], *at, *(str(redis.folder) if each == "/data" else each for each in words[1:])]
    done = redis.run(local, given)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_backup_made_while_the_server_runs_can_be_restored(folder: Path, other_folder: Path):
    hold, state, resume = inner("exec", "valkey-cli")
    (save,) = (words[:-1] for words in inner("exec", "tar"))
    (load,) = (words[:-1] for words in inner("run", "tar"))
    with server(folder) as old:
        for field in ("a", "b", "c"):
            call(old, ["valkey-cli", "hset", "kept", field, "x"])
        assert call(old, hold) == b"OK\n"
        assert b"aof_rewrite_in_progress:0" in call(old, state)
        archive = call(old, save)
        assert call(old, resume) == b"OK\n"
    with server(other_folder, lambda fresh: call(fresh, load, archive)) as new:
        assert call(new, ["valkey-cli", "hlen", "kept"]) == b"3\n"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_first_minute_of_the_readme_works(stack: Stack):
    curl = needed("curl")
    record, collect = (words[1:] for words in COMMANDS if words[0] == "curl")

    def local(words: list[str]) -> list[str]:
        ports = {":8000": f":{stack.ports['ingest']}", ":8001": f":{stack.ports['api']}"}
        joined = "\n".join(words)
        for shown, ours in ports.items():
            joined = joined.replace(shown, ours)
        return [curl, "-s", *joined.split("\n")]

    role = stack.roles["ingest"]
    assert role.run(local(record)).stdout == b'{"success":true}'
    wait_until(
        lambda: b'"current_engine_temperature":92.3' in role.run(local(collect)).stdout,
        "the reading to be collected",
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_status_can_be_asked_of_a_running_aggregator(stack: Stack):
    ((_, _, (service, *words)),) = (
        each for each in compose_commands("exec") if each[2][0] == "aggregator"
    )
    assert service == "aggregator"
    done = stack.aggregators[0].run(words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"aggregator ") == 2
