"""What stands in for a container engine refuses whatever it does not understand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from deploy import image
from deploy.dockerfile import Unsupported, parse
from deploy.dockerignore import Context, Ignore

BASE = "FROM python:3.12-slim-trixie"
Build = Callable[..., image.Image]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    context = tmp_path / "context"
    context.mkdir()
    (context / ".dockerignore").write_text("secret\n")
    for name in ("kept", "secret"):
        (context / name).write_text(name)

    def built(*lines: str) -> image.Image:
        file = tmp_path / "Dockerfile"
        file.write_text("\n".join([f"{BASE} AS build", *lines]))
        return image.build(file, Context(context), tmp_path / "folder", 0)

    return built


@pytest.mark.parametrize(
    "text",
    [
        f"{BASE}\nADD x /x",
        f'{BASE}\nENTRYPOINT ["x"]',
        f"{BASE}\nARG X",
        f"{BASE}\nVOLUME /data",
        f"{BASE}\nrun x",
        f"{BASE}\nCOPY --chown=1:1 x ./",
        f"{BASE}\nRUN --mount=type=cache,target=/x true",
        "RUN true",
        "FROM --platform=linux/arm64 python:3.12-slim-trixie",
    ],
)
def test_an_instruction_that_is_not_known_is_refused(text: str):
    with pytest.raises(Unsupported):
        parse(text)


@pytest.mark.parametrize("text", ["tributary ingest", '"tributary"', "[]", "[1]"])
def test_a_command_in_shell_form_is_refused(text: str):
    with pytest.raises(Unsupported):
        _ = parse(f"{BASE}\nCMD {text}")[0].only("CMD").words


@pytest.mark.parametrize(
    "line",
    [
        "RUN useradd tributary",
        "RUN python -m venv /opt/x",
        "RUN python -c pass > /src/x",
        "RUN python -c pass; python -c pass",
        "RUN python -c $HOME",
        "COPY missing ./",
        "COPY secret ./",
        "COPY kept ./renamed",
        "COPY kept ../",
        "ENV NAME value",
    ],
)
def test_what_plain_processes_cannot_do_safely_is_refused(build: Build, line: str):
    with pytest.raises(Unsupported):
        build("WORKDIR /src", line)


def test_a_command_that_fails_ends_the_build(build: Build):
    with pytest.raises(AssertionError, match="no-such-module"):
        build("WORKDIR /src", "RUN python -m no-such-module")


def test_a_base_that_is_not_python_is_refused():
    with pytest.raises(Unsupported):
        image.interpreter("debian:trixie", 0)


def test_stages_see_only_what_is_copied_from_the_one_before(build: Build):
    built = build(
        "ENV NAME=x",
        "WORKDIR /src",
        "COPY kept ./",
        "RUN python -m venv --without-pip /src/venv \\",
        "    && /src/venv/bin/python -m compileall kept",
        BASE,
        "COPY --from=build /src/venv /src/venv",
        "WORKDIR /app",
    )
    assert [path.name for path in (built.root / "src").iterdir()] == ["venv"]
    assert built.environ.keys() == {"PATH"}


def test_paths_of_the_image_are_put_below_the_folder(build: Build):
    built = build("WORKDIR /src", "ENV PATH=/src/bin:$PATH", "COPY kept ./below/")
    assert (built.root / "src/below/kept").read_text() == "kept"
    assert built.outside()["PATH"].startswith(f"{built.root}/src/bin:/usr")
    assert built.mapped("/src/x /srcx x/src") == f"{built.root}/src/x /srcx x/src"


def test_the_interpreter_is_one_that_the_user_may_run():
    assert Path(image.interpreter("python:3.12-slim-trixie", 10001)).exists()
    assert sys.version_info >= (3, 11)


@pytest.mark.parametrize(
    ("pattern", "path", "keeps"),
    [
        ("*", "a", False),
        ("*", "a/b", False),
        ("*\n!a", "a/b", True),
        ("*\n!a\na/b", "a/b/c", False),
        ("a", "b/a", True),
        ("**/a", "b/a", False),
        ("**/a", "a", False),
        ("*/a", "b/c/a", True),
        ("a?", "ab", False),
        ("# a\n\n/a/", "a", False),
        ("a.c", "abc", True),
    ],
)
def test_dockerignore_follows_its_rules(pattern: str, path: str, *, keeps: bool):
    assert Ignore(pattern).keeps(PurePosixPath(path)) is keeps
