"""The token of commands that are HTTP clients: from an option or from TRIBUTARY_TOKEN."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tributary.cli import cli, main

OWN, OTHER = "trb_of-the-option", "trb_of-the-environment"


class Refusing(http.server.BaseHTTPRequestHandler):
    """Responds with 401 to everything, and keeps what Authorization contained."""

    sent: list[str]

    def do_POST(self) -> None:
        self.sent.append(self.headers["Authorization"])
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        body = b'{"success":false,"error":{"code":"unauthorized","message":"unknown token"}}'
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815 (a method of http.server)

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


@pytest.fixture
def refusing() -> Iterator[tuple[str, list[str]]]:
    """The URL of a server that accepts no token, and the fields that it got."""
    sent: list[str] = []
    handler = type("Handler", (Refusing,), {"sent": sent})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", sent
        server.shutdown()
        thread.join()


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command


def test_every_command_that_takes_the_url_of_a_server_takes_a_token():
    clients = {
        name: {option.name: option for option in command.params}
        for name, command in commands()
        if any(option.name == "url" for option in command.params)
    }
    assert set(clients) == {"load", "simulate"}
    for options in clients.values():
        assert options["token"].envvar == "TRIBUTARY_TOKEN"


@pytest.mark.parametrize("option", [(), ("--token", OWN)], ids=["environment", "option"])
def test_a_command_sends_the_token_and_never_prints_it(
    refusing: tuple[str, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    option: tuple[str, ...],
):
    url, sent = refusing
    expected = OWN if option else OTHER
    file = tmp_path / "one.csv"
    file.write_text("device,time,speed\ncar-7,1700000000,50\n")
    words = ["load", str(file), "--url", url, "--state-dir", str(tmp_path / "state"), *option]
    monkeypatch.setenv("TRIBUTARY_TOKEN", OTHER)
    monkeypatch.setattr("sys.argv", ["tributary", *words])
    with pytest.raises(SystemExit) as end:
        main()
    printed = "".join(capfd.readouterr())
    assert end.value.code
    assert set(sent) == {f"Bearer {expected}"}
    assert "unknown token" in printed
    assert OWN not in printed
    assert OTHER not in printed
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [content for content in kept if expected.encode() in content]


@pytest.mark.parametrize("secret", ["trb_a\ntrb_b", "trb_ü", "trb_\x01"])
def test_a_token_that_no_header_can_contain_is_reported_without_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], secret: str
):
    monkeypatch.setenv("TRIBUTARY_TOKEN", secret)
    monkeypatch.setattr("sys.argv", ["tributary", "simulate", "--seconds", "1"])
    with pytest.raises(SystemExit) as end:
        main()
    printed = "".join(capfd.readouterr())
    assert end.value.code == 2
    assert "the token contains" in printed
    assert "trb_" not in printed
    assert "Traceback" not in printed
