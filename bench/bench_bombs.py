"""How much memory hostile requests take: the peak of the HTTP worker beside what it held before."""

from __future__ import annotations

import gzip
import json
import os
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
@click.option("--json", "out", type=click.Path(path_type=Path), help="write the figures here, too")
def command(out: Path | None) -> None:
    """Peak memory of the HTTP worker under gzip bombs, header bombs and deep JSON."""
    rows = []
    with launch.deployment() as (url, _):
        worker = _worker()
        for name, requests in _BOMBS.items():
            _forget_peak(worker)
            before = _kib(worker, "VmRSS")
            statuses = {_status(url, data) for data in requests()}
            peak = _kib(worker, "VmHWM")
            rows.append((name, sorted(statuses), before / 1024, (peak - before) / 1024))
    click.echo(machine.described() + "\n")
    click.echo("| requests | answers | before MiB | more at the peak MiB |")
    click.echo("|---|---|---|---|")
    for name, answers, before_mib, more_mib in rows:
        told = ", ".join(map(str, answers))
        click.echo(f"| {name} | {told} | {before_mib:.1f} | {more_mib:.1f} |")
    if out is not None:
        out.write_text(json.dumps({"machine": machine.described(), "rows": rows}, indent=1))


def _post(body: bytes, *fields: bytes) -> bytes:
    lines = [b"POST /record HTTP/1.1", b"Host: localhost", b"Connection: close", *fields]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def _zeros(count_mib: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    block = bytes(_MIB)
    return b"".join(packer.compress(block) for _ in range(count_mib)) + packer.flush()


def _packed(body: bytes) -> Iterator[bytes]:
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
    "a plain body of 1 MiB": lambda: _plain(b" " * (_MIB - 7) + b'{"n":1}'),
    "gzip, 1 MiB to 1 GiB": lambda: _packed(_zeros(1000)),
    "gzip, 10 KiB to 10 MiB": lambda: _packed(_zeros(10)),
    "gzip in gzip": lambda: _packed(gzip.compress(_zeros(1000))),
    "gzip, 50,000 empty members": lambda: _packed(gzip.compress(b"") * 50_000),
    "500,000 brackets": lambda: _plain(b"[" * 500_000),
    "a number of 1,000,000 digits": lambda: _plain(b'{"n":' + b"9" * 1_000_000 + b"}"),
    "3,000 header fields": lambda: iter([_post(b"", *[b"X: a"] * 3000)] * _TIMES),
    "a header field of 10 MB": lambda: iter([_post(b"", b"X: " + b"a" * 10_000_000)] * _TIMES),
    f"{_BLOCKS:,} header blocks of 2 KB, none twice": _distinct_heads,
}


def _status(url: str, data: bytes) -> int:
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), 30) as connection:
        try:
            connection.sendall(data)
        except OSError:  # refused before it was all sent: the answer is there
            return _read(connection)
        return _read(connection)


def _read(connection: socket.socket) -> int:
    answer = b""
    while more := connection.recv(65_536):
        answer += more
    return int(answer.split(b" ", 2)[1])


def _worker() -> int:
    """The HTTP worker among the processes that this one has started."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (status := _proc(int(entry.name), "status")):
            found = re.search(rb"^PPid:\s+(\d+)", status, re.MULTILINE)
            parents[int(entry.name)] = int(found[1]) if found else 0
    family = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    webs = {pid for pid in family if b"\0web\0" in _proc(pid, "cmdline")}
    (worker,) = (pid for pid in webs if parents[pid] in webs)
    return worker


def _proc(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _kib(pid: int, field: str) -> int:
    found = re.search(rb"^%b:\s+(\d+) kB" % field.encode(), _proc(pid, "status"), re.MULTILINE)
    if found is None:
        raise SystemExit("bench: the HTTP worker has ended")
    return int(found[1])
