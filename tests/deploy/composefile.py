"""compose.yaml with its variables replaced, as Compose does, and the Dockerfiles it builds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parents[2] / "compose"
FILE = FOLDER / "compose.yaml"
_VARIABLE = re.compile(r"\$\{(\w+):-([^${}]*)\}")
_EXAMPLE = re.compile(r"#([A-Z][A-Z_]*)=(.*)")

Service = dict[str, Any]


@dataclass(frozen=True)
class Example:
    """A variable of .env.example."""

    default: str
    comment: str


def raw() -> dict[str, Any]:
    """The file with its variables as they are written."""
    content: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return content


def load(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The file with these variables, and with its own defaults for all others."""
    content: dict[str, Any] = _filled(raw(), variables or {})
    return content


def services(variables: Mapping[str, str] | None = None) -> dict[str, Service]:
    """The services of the file, by name."""
    found: dict[str, Service] = load(variables)["services"]
    return found


def defaults() -> dict[str, str]:
    """Every `${NAME:-default}` of the file."""
    return dict(_VARIABLE.findall(_code()))


def passed_on() -> set[str]:
    """Names without a value: the containers get them only if they are set outside."""
    environments = [service.get("environment", {}) for service in raw()["services"].values()]
    return {name for each in environments for name, value in each.items() if value is None}


def examples() -> dict[str, Example]:
    """Every variable of .env.example, with the comment above it."""
    found, comment = {}, []
    for line in (FOLDER / ".env.example").read_text().splitlines():
        match = _EXAMPLE.fullmatch(line)
        if match is not None:
            found[match[1]] = Example(match[2], " ".join(comment))
        elif line and not line.startswith("# "):
            raise ValueError(f"neither a comment nor a variable that is commented out: {line!r}")
        comment = [*comment, line.removeprefix("# ")] if line and match is None else []
    return found


def final_stage(dockerfile: str) -> dict[str, list[str]]:
    """The arguments of each instruction in the last stage of a Dockerfile."""
    return instructions((FOLDER.parent / dockerfile).read_text().rpartition("\nFROM ")[2])


def first_stage(dockerfile: str) -> dict[str, list[str]]:
    """The arguments of each instruction in the build stage of a Dockerfile."""
    return instructions((FOLDER.parent / dockerfile).read_text().rpartition("\nFROM ")[0])


def instructions(text: str) -> dict[str, list[str]]:
    """The arguments of each instruction, comments removed and continued lines joined."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    found: dict[str, list[str]] = {}
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        name, _, rest = line.partition(" ")
        found.setdefault(name, []).append(rest)
    return found


def _code() -> str:
    lines = FILE.read_text().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_filled(each, variables) for each in value]
    if isinstance(value, dict):
        given = {
            name: variables.get(name) if each is None else each for name, each in value.items()
        }
        # A name without a value is set in the container only if it is set outside.
        return {name: _filled(each, variables) for name, each in given.items() if each is not None}
    if not isinstance(value, str):
        return value
    # `:-` uses the default for an empty variable too.
    text = _VARIABLE.sub(lambda match: variables.get(match[1]) or match[2], value)
    if "$" in text:
        raise ValueError(f"unsupported form of variable: {value!r}; use ${{NAME:-default}}")
    return text
