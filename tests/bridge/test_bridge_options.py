"""Options of `tributary mqtt` that cannot work are reported at start, all of them together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.processes import Process, Server

Run = Callable[..., Process]


def test_problems_of_all_options_are_reported_together(server: Server, run: Run, tmp_path: Path):
    file = tmp_path / "topics.toml"
    file.write_text("[[topic]]\n")
    process = run(
        "mqtt", "--broker", "http://u:secret@host", "--topic", "a/#/b", "--topic", "a+",
        "--mapping", str(file), "--share", "a/b", "--timezone", "Berlin",
        "--redis-url", server.url,
    )  # fmt: skip
    assert process.end() == 2
    for each in (
        "unsupported scheme 'http'", "'a/#/b' has a #", "'a+' has a +", "filter is missing",
        "share 'a/b'", "timezone 'Berlin'",
    ):  # fmt: skip
        assert each in process.text
    assert "secret" not in process.text


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ((), "no broker; give --broker"),
        (("--broker", "mqtt://host"), "no topics; give --topic"),
        (("--broker", "mqtt://host", "--topic", "a/+", "--topic", "+/b"), "overlap"),
        (("--broker", "mqtt://:p@host", "--topic", "a"), "add the user"),
        (("--broker", "mqtt://host/topic", "--topic", "a"), "topics are given with --topic"),
        (("--broker", "mqtt://host:x", "--topic", "a"), "is not valid"),
        (("--broker", "mqtt://", "--topic", "a"), "names no host"),
    ],
)
def test_an_option_that_cannot_work_is_an_error(
    server: Server, run: Run, options: tuple[str, ...], problem: str
):
    process = run("mqtt", *options, "--redis-url", server.url)
    assert process.end() == 2
    assert problem in process.text
