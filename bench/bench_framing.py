"""The cost of framing a request: the parser of the lane with its caches, and llhttp."""

from __future__ import annotations

import time
from collections.abc import Callable

import click
import httptools

from tributary.http.lane.framing import HEAD_END, CompleteRequest, Framer
from tributary.http.lane.head import Heads, parse
from tributary.http.lane.router import Route, Router

_BODY = b'{"device":"car-7","engine_temperature":92.3}'
_BLOCK = (
    b"Host: tributary.example.com:8000\r\nUser-Agent: ESP32HTTPClient\r\n"
    b"Authorization: Bearer trb_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG\r\n"
    b"Content-Type: application/json\r\nConnection: keep-alive\r\n"
    b"Content-Length: %d\r\n\r\n" % len(_BODY)
)
REQUEST = b"POST /record HTTP/1.1\r\n" + _BLOCK + _BODY
_BODY_MAX_BYTES = 1_048_576
_CALLS = 20_000


class _Message:
    """Collects the target and the body from llhttp, without header fields."""

    def __init__(self) -> None:
        self.target = self.body = b""
        self.is_complete = False

    def on_url(self, url: bytes) -> None:
        self.target = url

    def on_body(self, data: bytes) -> None:
        self.body = data

    def on_message_complete(self) -> None:
        self.is_complete = True


class _MessageWithFields(_Message):
    """Also collects the header fields, as a general server must."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: list[tuple[bytes, bytes]] = []

    def on_message_begin(self) -> None:
        self.fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))


def _by_hand() -> Callable[[], object]:
    framer = Framer(Heads(), _BODY_MAX_BYTES)

    def run() -> object:
        framer.feed(REQUEST)
        return framer.next()

    assert isinstance(run(), CompleteRequest)
    return run


def _cached_route() -> Callable[[], object]:
    router = Router()
    router.add([Route("/record", ("POST",), "", print)])
    router.heads.get(_BLOCK)

    def run() -> object:
        end = REQUEST.find(HEAD_END) + len(HEAD_END)
        head = REQUEST[:end]
        return (router.cached_routes.get(head) or router.cache_route(head)) and REQUEST[end:]

    assert run() == _BODY
    return run


def _same_head() -> Callable[[], object]:
    router = Router()
    router.add([Route("/record", ("POST",), "", print)])
    router.heads.get(_BLOCK)
    last = router.cache_route(REQUEST[: REQUEST.find(HEAD_END) + len(HEAD_END)])
    assert last is not None

    def run() -> object:
        return REQUEST.startswith(last.raw) and REQUEST[len(last.raw) :]

    assert run() == _BODY
    return run


def _by_llhttp(message: _Message) -> Callable[[], object]:
    parser = httptools.HttpRequestParser(message)

    def run() -> object:
        parser.feed_data(REQUEST)
        return message.is_complete and message.body

    assert run() == _BODY
    return run


def measure_us(run: Callable[[], object], rounds: int) -> float:
    """Microseconds per call in the fastest round."""
    best_ns = float("inf")
    for _ in range(rounds):
        began_ns = time.process_time_ns()
        for _ in range(_CALLS):
            run()
        best_ns = min(best_ns, time.process_time_ns() - began_ns)
    return best_ns / _CALLS / 1000


@click.command("framing", epilog="Example: scripts/bench framing")
@click.option("--rounds", default=30, show_default=True, type=click.IntRange(1))
def command(rounds: int) -> None:
    """Compare the framing of the lane with llhttp, and with parsing a header block."""
    rows = {
        "by hand, the same head as before": _same_head(),
        "by hand, route cached by the whole head": _cached_route(),
        "by hand, header block cached": _by_hand(),
        "llhttp, header fields ignored": _by_llhttp(_Message()),
        "llhttp, header fields collected": _by_llhttp(_MessageWithFields()),
        "parsing and validating a header block": lambda: parse(_BLOCK),
    }
    for name, run in rows.items():
        click.echo(f"{name:<42} {measure_us(run, rounds):5.2f} µs")
