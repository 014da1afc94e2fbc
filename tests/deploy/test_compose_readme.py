"""compose/README.md: its commands, options and names exist. tests/engine runs the commands."""

from __future__ import annotations

import re

from deploy import composefile
from deploy.readme import COMMANDS, TEXT, compose_commands
from tributary.settings import PREFIX, Settings

# From the reference of Docker Compose, which is not installed where the tests run.
OPTIONS = {
    "up": {"--build", "--detach", "--wait", "--scale", "--no-recreate", "--no-deps"},
    "kill": {"--signal"},
    "down": {"--volumes"},
    "exec": {"-T"},
    "run": {"--rm", "--no-deps", "-T"},
    "build": {"--pull"},
    "logs": {"--follow"},
    "restart": set(),
}


def test_every_command_and_option_exists():
    assert {words[0] for words in COMMANDS} == {
        "docker", "curl", "cp", "../scripts/images", "../scripts/sbom",
    }  # fmt: skip
    assert len(compose_commands()) == sum(words[0] == "docker" for words in COMMANDS)
    for subcommand, options, words in compose_commands():
        assert set(options) <= OPTIONS[subcommand], (subcommand, options)
        if words and options[-1:] != ["--scale"]:
            assert words[subcommand == "kill"] in composefile.services()
        elif words:
            counts = dict(word.split("=") for word in words if word != "--scale")
            assert counts == {"aggregator": "4", "ingest": "2", "api": "2"}


def test_every_name_in_the_text_exists():
    names = {PREFIX + name.upper() for name in Settings.__struct_fields__}
    names |= composefile.examples().keys() | {"ENGINE"}  # of scripts/images and scripts/sbom
    mentioned = set(re.findall(r"`([A-Z][A-Z_]{3,})[`=]", TEXT))
    assert mentioned
    assert mentioned <= names
    for file in re.findall(r"`([\w.]+\.(?:yaml|conf|example))`", TEXT):
        assert (composefile.FOLDER / file).is_file()
