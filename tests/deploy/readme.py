"""The commands of compose/README.md."""

from __future__ import annotations

import re
import shlex
from typing import NamedTuple

from deploy import composefile

TEXT = (composefile.FOLDER / "README.md").read_text()
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
]


class Compose(NamedTuple):
    """One call of `docker compose`."""

    subcommand: str
    options: list[str]
    words: list[str]


def compose_commands(subcommand: str = "") -> list[Compose]:
    """Every call of `docker compose`, or those of one subcommand."""
    calls = [_split(words[2:]) for words in COMMANDS if words[:2] == ["docker", "compose"]]
    return [call for call in calls if subcommand in {"", call.subcommand}]


def inside(subcommand: str, program: str) -> list[list[str]]:
    """The commands that a program gets in the container of Redis, without redirections."""
    return [
        [word for word in call.words[1:] if word not in "<>" and not word.endswith(".tgz")]
        for call in compose_commands(subcommand)
        if call.words[0] == "redis" and call.words[1] == program
    ]


def _split(words: list[str]) -> Compose:
    subcommand, *rest = words[2:] if words[0] == "--profile" else words
    count = next((n for n, each in enumerate(rest) if not each.startswith("-")), len(rest))
    return Compose(subcommand, rest[:count], rest[count:])
