"""Memory that hostile requests take: the peak of the HTTP worker compared with its memory before."""

from __future__ import annotations

import gzip
import json
import re
import socket
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import click

from bench import launch, machine

_MIB = 1_048_576
_TIMES = 20
_BLOCKS = 20_000
_PIPELINED = 100


@click.command("bombs", epilog="Example: scripts/bench bombs --json bombs.json")
@click.option(
    "--json", "out", type=click.Path(path_type=Path), help="also write the figures to this file"
)
def command(out: Path | None) -> None:
    """Peak memory of the HTTP worker under gzip bombs, header bombs and deep JSON."""
    rows = []
    with launch.deployment() as (url, _, worker):
        for name, requests in _BOMBS.items():
            _reset_peak(worker)
            before = _kib(worker, "VmRSS")
            statuses = {_status(url, data) for data in requests()}
            peak = _kib(worker, "VmHWM")
            rows.append((name, sorted(statuses), before / 1024, (peak - before) / 1024))
    click.echo(machine.description() + "\n")
    click.echo("| requests | statuses | before MiB | peak increase MiB |")
    click.echo("|---|---|---|---|")
    for name, found, before_mib, increase_mib in rows:
        codes = ", ".join(map(str, found))
        click.echo(f"| {name} | {codes} | {before_mib:.1f} | {increase_mib:.1f} |")
    if out is not None:
        out.write_text(json.dumps({"machine": machine.description(), "rows": rows}, indent=1))


def _post(body: bytes, *fields: bytes) -> bytes:
    lines = [b"POST /record HTTP/1.1", b"Host: localhost", b"Connection: close", *fields]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def _zeros(count_mib: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    block = bytes(_MIB)
    return b"".join(packer.compress(block) for _ in range(count_mib)) + packer.flush()


def _gzipped(body: bytes) -> Iterator[bytes]:
    for _ in range(_TIMES):
        yield _post(body, b"Content-Encoding: gzip")


def _plain(body: bytes) -> Iterator[bytes]:
    for _ in range(_TIMES):
        yield _post(body)


def _distinct_heads() -> Iterator[bytes]:
    for first in range(0, _BLOCKS, _PIPELINED):
        numbers = range(first, first + _PIPELINED)
        heads = b"".join(
            b"GET /collect HTTP/1.1\r\nHost: localhost\r\nX: %01800d\r\n\r\n" % n for n in numbers
        )
        yield heads + _post(b'{"n":1}')


_BOMBS: dict[str, Callable[[], Iterator[bytes]]] = {
    "uncompressed body of 1 MiB": lambda: _plain(b" " * (_MIB - 7) + b'{"n":1}'),
    "gzip, 1 MiB to 1 GiB": lambda: _gzipped(_zeros(1000)),
    "gzip, 10 KiB to 10 MiB": lambda: _gzipped(_zeros(10)),
    "gzip in gzip": lambda: _gzipped(gzip.compress(_zeros(1000))),
    "gzip, 50,000 empty members": lambda: _gzipped(gzip.compress(b"") * 50_000),
    "500,000 brackets": lambda: _plain(b"[" * 500_000),
    "number of 1,000,000 digits": lambda: _plain(b'{"n":' + b"9" * 1_000_000 + b"}"),
    "3,000 header fields": lambda: iter([_post(b"", *[b"X: a"] * 3000)] * _TIMES),
    "header field of 10 MB": lambda: iter([_post(b"", b"X: " + b"a" * 10_000_000)] * _TIMES),
    f"{_BLOCKS:,} distinct header blocks of 2 KB": _distinct_heads,
}


def _status(url: str, data: bytes) -> int:
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), 30) as connection:
        try:
            connection.sendall(data)
        except OSError:  # rejected before everything was sent; the response is waiting
            return _read(connection)
        return _read(connection)


def _read(connection: socket.socket) -> int:
    response = b""
    while data := connection.recv(65_536):
        response += data
    return int(response.split(b" ", 2)[1])


def _reset_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _kib(pid: int, field: str) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        raise SystemExit("bench: the HTTP worker has exited") from None
    found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1])
