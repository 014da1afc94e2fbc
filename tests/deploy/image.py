"""Builds an image of ours as a folder: what a container engine would do, with plain processes.

There is no chroot. Paths that the Dockerfile calls its own (WORKDIR, destinations of COPY) are
put below the folder; a command may touch nothing else, and no program may run but Python and
what was installed below the folder. All else is `Unsupported`, so nothing is passed over.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import string
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from deploy.dockerfile import Instruction, Stage, Unsupported, read
from deploy.dockerignore import Context

Environ = dict[str, str]
_HOST_PATH = "/usr/local/bin:/usr/bin:/bin"
_PYTHON = re.compile(r"python:(3\.\d+)-slim-[a-z]+")
_ON_THIS_HOST = re.compile(r"PIP_.*|.*_proxy|SSL_CERT_FILE", re.IGNORECASE)


@dataclass
class Image:
    """A folder that stands for a root file system, and what is to be run in it."""

    root: Path
    owned: frozenset[str]
    environ: Environ = field(default_factory=lambda: {"PATH": _HOST_PATH})
    workdir: str = "/"
    user: str = "0:0"
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def mapped(self, text: str) -> str:
        """A text with the image's own paths as they are on this machine."""
        for path in self.owned:
            text = re.sub(rf"(?<![\w./-]){re.escape(path)}(?![\w.-])", f"{self.root}{path}", text)
        return text

    def below(self, path: str) -> Path:
        """Where a path of the image is on this machine; relative ones start at the workdir."""
        absolute = os.path.normpath(os.path.join(self.workdir, path))  # noqa: PTH118
        if not any(absolute == own or absolute.startswith(f"{own}/") for own in self.owned):
            raise Unsupported(f"{path} is not below {sorted(self.owned)}")
        return Path(f"{self.root}{absolute}")

    def outside(self) -> Environ:
        """The environment of a process in the image, as it is on this machine."""
        return {name: self.mapped(value) for name, value in self.environ.items()}


def build(dockerfile: Path, context: Context, folder: Path, uid: int) -> Image:
    """Carry out every stage; each is at the same place in turn, as in a container.

    Raises:
        Unsupported: the Dockerfile asks for something that is not understood.
        subprocess.CalledProcessError: a command failed.
    """
    stages = read(dockerfile)
    owned = frozenset(path for stage in stages for path in _owned(stage))
    for number, stage in enumerate(stages):
        root = folder / "root"
        (root / "tmp").mkdir(parents=True)
        image = Image(root, owned)
        python = interpreter(stage.base, uid)
        for instruction in stage.instructions:
            _DO[instruction.name](image, instruction, context, python)
        if number < len(stages) - 1:
            root.rename(folder / f"stage-{stage.name}")
    return image


def interpreter(base: str, uid: int) -> str:
    """A Python that stands for the base image: of its version if there is one here.

    Raises:
        Unsupported: the base is no slim Python, or no Python of ours may be run by the user.
    """
    match = _PYTHON.fullmatch(base)
    if match is None:
        raise Unsupported(f"unknown base image {base}")
    ours = getattr(sys, "_base_executable", sys.executable)
    asked = "import sys, ensurepip; sys.exit(sys.version_info < (3, 11))"
    for candidate in (f"python{match[1]}", ours, "/usr/bin/python3"):
        found = shutil.which(candidate)
        if found is not None:
            try:
                subprocess.check_call(
                    [found, "-c", asked], stderr=subprocess.DEVNULL, **as_user(uid)
                )
            except (PermissionError, subprocess.CalledProcessError):
                continue
            return found
    raise Unsupported(f"no Python here can stand for {base} and be run by user {uid}")


def as_user(uid: int) -> dict[str, object]:
    """How subprocess drops root; nothing when there is none to drop."""
    return {"user": uid, "group": uid, "extra_groups": []} if os.geteuid() == 0 else {}


def _owned(stage: Stage) -> list[str]:
    destinations = [each.text.split()[-1] for each in stage.of("COPY")]
    absolute = [path.rstrip("/") for path in destinations if path.startswith("/")]
    return [each.text for each in stage.of("WORKDIR")] + absolute


def _env(image: Image, instruction: Instruction, *_: object) -> None:
    for pair in shlex.split(instruction.text):
        name, equals, value = pair.partition("=")
        if not equals:
            raise Unsupported(f"ENV without =: {instruction.text}")
        image.environ[name] = string.Template(value).substitute(image.environ)


def _workdir(image: Image, instruction: Instruction, *_: object) -> None:
    image.workdir = instruction.text
    image.below(instruction.text).mkdir(parents=True, exist_ok=True)


def _run(image: Image, instruction: Instruction, _: Context, python: str) -> None:
    lexer = shlex.shlex(instruction.text, posix=True, punctuation_chars=";<>|&()$`")
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    for word in lexer:
        if word == "&&":
            commands.append([])
        elif set(word) & set(";<>|&()$`*"):
            raise Unsupported(f"RUN needs a shell for {word!r}: {instruction.text}")
        else:
            commands[-1].append(word)
    for command in commands:
        _execute(image, command, python)


def _execute(image: Image, command: list[str], python: str) -> None:
    words = [str(image.below(word)) if word.startswith("/") else word for word in command]
    if words[0] == "python":
        words[0] = python
    elif not command[0].startswith("/"):
        raise Unsupported(f"RUN of a program of the base image: {command[0]}")
    host = {name: value for name, value in os.environ.items() if _ON_THIS_HOST.fullmatch(name)}
    environ = {**host, **image.outside()}
    done = subprocess.run(
        words, cwd=image.below("."), env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def _copy(image: Image, instruction: Instruction, context: Context, _: str) -> None:
    *sources, destination = instruction.text.split()
    target = image.below(destination)
    for source in sources:
        if "from" in instruction.flags:
            stage = image.root.parent / f"stage-{instruction.flags['from']}"
            shutil.copytree(f"{stage}{source}", target, symlinks=True)
        else:
            is_folder = (context.folder / source).is_dir()
            if not is_folder and not destination.endswith("/"):
                raise Unsupported(f"COPY of a file to a new name: {instruction.text}")
            _copy_files(context, source, target)


def _copy_files(context: Context, source: str, target: Path) -> None:
    files = list(context.files(source))
    if not files:
        raise Unsupported(f"COPY of {source}: it is not in the context")
    for path, below in files:
        into = target / below
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, into)


def _says(image: Image, instruction: Instruction, *_: object) -> None:
    """What only describes the image."""
    match instruction.name:
        case "USER":
            image.user = instruction.text
        case "CMD":
            image.command = instruction.words
        case "HEALTHCHECK":
            image.health = instruction.words


_DO = {"ENV": _env, "WORKDIR": _workdir, "RUN": _run, "COPY": _copy} | dict.fromkeys(
    ("LABEL", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "CMD"), _says
)
