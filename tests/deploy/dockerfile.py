"""Reads the part of the Dockerfile language that our images use, and refuses all else.

What is not understood is an error: a test that skips an instruction says nothing about it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

# Instruction → the flags that are understood.
KNOWN: dict[str, tuple[str, ...]] = {
    "FROM": (),
    "ENV": (),
    "WORKDIR": (),
    "RUN": (),
    "COPY": ("from",),
    "LABEL": (),
    "USER": (),
    "EXPOSE": (),
    "STOPSIGNAL": (),
    "HEALTHCHECK": ("interval", "timeout", "start-period", "retries"),
    "CMD": (),
}
_FLAG = re.compile(r"--([a-z-]+)=(\S+)\s+")
_FROM = re.compile(r"(\S+)(?:\s+AS\s+(\S+))?")


class Unsupported(Exception):
    """The Dockerfile uses something that is not understood here."""


@dataclass(frozen=True)
class Instruction:
    """One instruction, its continuation lines joined."""

    name: str
    text: str
    flags: dict[str, str] = field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        """The exec form: a JSON list of strings."""
        try:
            words = json.loads(self.text)
        except ValueError:
            raise Unsupported(f"{self.name} is not in exec form: {self.text}") from None
        if not isinstance(words, list) or not words or {str} != {type(word) for word in words}:
            raise Unsupported(f"{self.name} is no list of strings: {self.text}")
        return words


@dataclass(frozen=True)
class Stage:
    """What stands between one FROM and the next."""

    base: str
    name: str | None
    instructions: list[Instruction]

    def of(self, name: str) -> list[Instruction]:
        """All instructions of one name."""
        return [each for each in self.instructions if each.name == name]

    def only(self, name: str) -> Instruction:
        """The one instruction of a name that may stand there once."""
        (found,) = self.of(name)
        return found


def read(path: Path) -> list[Stage]:
    """The stages of a Dockerfile."""
    return parse(path.read_text())


def parse(text: str) -> list[Stage]:
    """The stages of a Dockerfile.

    Raises:
        Unsupported: an instruction, a flag or a form that is not understood.
    """
    stages: list[Stage] = []
    for instruction in _instructions(text):
        if instruction.name == "FROM":
            stages.append(_stage(instruction))
        elif not stages:
            raise Unsupported(f"{instruction.name} before FROM")
        else:
            stages[-1].instructions.append(instruction)
    return stages


def _instructions(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [_instruction(line) for line in joined.splitlines()]


def _instruction(line: str) -> Instruction:
    name, _, text = line.partition(" ")
    if name not in KNOWN:
        raise Unsupported(f"unknown instruction: {line}")
    flags = {}
    while match := _FLAG.match(text):
        flags[match[1]] = match[2]
        text = text[match.end() :]
    unknown = [flag for flag in flags if flag not in KNOWN[name]]
    if unknown or text.startswith("--"):
        raise Unsupported(f"unknown flag: {line}")
    if name == "HEALTHCHECK":
        text = text.removeprefix("CMD ")
    return Instruction(name, text, flags)


def _stage(instruction: Instruction) -> Stage:
    match = _FROM.fullmatch(instruction.text)
    if match is None:
        raise Unsupported(f"unknown form of FROM: {instruction.text}")
    return Stage(match[1], match[2], [])
