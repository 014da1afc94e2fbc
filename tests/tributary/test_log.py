"""User data is a field of a log line, never a line of its own and never a format string."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from loguru import logger

from tributary import log
from tributary.settings import Settings

HOSTILE = [
    "a\nFORGED",
    "a\r\nFORGED",
    "{0.__class__}",
    "{extra}",
    "%s%n",
    "<red>x</red>",
    "\x1b[31m",
    "\u2028x",
    '=" quote',
]


@pytest.fixture(params=["text", "json"])
def shape(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Iterator[str]:
    log.configure(Settings(log_format=request.param), "test")
    yield request.param
    logger.remove()


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_data_stays_in_its_field(shape: str, text: str, capsys: pytest.CaptureFixture[str]):
    logger.bind(action="refused", device=text).warning("reading refused")
    (line,) = (
        capsys.readouterr().err.splitlines() if "\u2028" not in text else [capsys.readouterr().err]
    )
    assert "reading refused" in line
    if shape == "json":
        assert json.loads(line)["device"] == text


def test_a_traceback_shows_no_variables(shape: str, capsys: pytest.CaptureFixture[str]):
    def fail(token: str) -> None:
        raise ValueError("broken" if token else "")

    try:
        fail(f"{'s3cret'}-token")
    except ValueError:
        logger.exception("it failed")
    assert "s3cret-token" not in capsys.readouterr().err
