"""Damaged bodies for every door and damaged files for the loader: any of them is taken or refused.

The bodies are the examples of the OpenAPI document and the files of tests/data, with a few random
edits. A door must return a batch that can be packed or raise `Refused` with a 4xx status; the
loader must return rows or raise `Misconfigured`. Everything else is a crash.
"""

from __future__ import annotations

import contextlib
import random
import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlencode

import click
import msgspec

from api.openapi.examples import EXAMPLES
from ingest.doors import DOORS
from ingest.doors.door import Door
from support import datasets, door_requests
from support.processes import ROOT
from tributary.cli import terminal
from tributary.errors import Misconfigured

_TOKENS = (
    b'"', b"'", b"{", b"}", b"[", b"]", b":", b",", b"=", b"&", b"%", b"\\", b"\n", b"\r", b"\t", b"\0",
    b"\xff", b"\xc3", b"\xef\xbb\xbf", b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"-0", b"0x1",
    b"9" * 30, b"1763805600", b"-1", b"i", b"u", b"\\ud800", b"2025-13-45", b"device", b"time", b"ts",
)  # fmt: skip
_EDITS_MAX = 4
_FILE_MAX_BYTES = 20_000
_FILE_SHARE = 0.02  # of the cases; a file takes a hundred times as long as a body


class Seed(NamedTuple):
    """A request to a door, before it is damaged."""

    door: Door
    params: dict[str, str]
    query: bytes
    body: bytes


class Outcome(NamedTuple):
    """The number of cases by result, and the first crash."""

    results: Counter[str]
    crash: str | None


def run(cases: int, seed: int, tick: Callable[[], None] = lambda: None) -> Outcome:
    """Send `cases` damaged inputs to the doors and the loader; stops at the first crash."""
    rng, results = random.Random(seed), Counter[str]()
    found, files = seeds(), _files()
    for _ in range(cases):
        tick()
        data = b""
        try:
            if rng.random() < _FILE_SHARE:
                data = damaged(rng, rng.choice(files))
                results[_load(data)] += 1
                continue
            door, params, query, body = rng.choice(found)
            query, data = damaged(rng, query) if rng.random() < 0.3 else query, damaged(rng, body)
            status = door_requests.status_of(door, data, query.decode("latin-1"), **params)
            if not 200 <= status < 500:
                raise AssertionError(f"status {status}")  # noqa: TRY301 (one kind of report)
            results[f"{status // 100}xx"] += 1
        except Exception:
            return Outcome(results, f"seed {seed}, {data!r}\n{traceback.format_exc()}")
    return Outcome(results, None)


def damaged(rng: random.Random, data: bytes) -> bytes:
    """The data after a few random edits."""
    found = bytearray(data)
    for _ in range(rng.randint(1, _EDITS_MAX)):
        at, length = rng.randint(0, len(found)), rng.choice((1, 1, 2, 8, 40))
        match rng.randrange(5):
            case 0:
                del found[at : at + length]
            case 1:
                found[at:at] = found[at : at + length]
            case 2:
                found[at : at + 1] = bytes((rng.randrange(256),))
            case 3:
                found[at : at + length] = rng.choice(_TOKENS)
            case _:
                found[at:at] = rng.choice(_TOKENS)
    return bytes(found)


def seeds() -> list[Seed]:
    """The examples by door, as many of each door."""
    by_door: dict[str, list[Seed]] = {}
    for door in DOORS:
        for mount in door.mounts:
            for example in EXAMPLES:
                if example.path == mount.path and example.method in mount.methods:
                    by_door.setdefault(door.name, []).append(_seed(door, example))
    most = max(map(len, by_door.values()))
    return [seed for each in by_door.values() for seed in (each * most)[:most]]


def _seed(door: Door, example: object) -> Seed:
    assert isinstance(example, EXAMPLES[0].__class__)
    names = re.findall(r"{(\w+)}", example.path)
    query = {k: v for k, v in example.parameters.items() if k not in names and "-" not in k}
    body = example.body
    content = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
    return Seed(
        door,
        {name: example.parameters.get(name, "x") for name in names},
        urlencode(query).encode(),
        content,
    )


def _files() -> list[bytes]:
    found = [path.read_bytes() for path in sorted((ROOT / "tests/data/files").iterdir())]
    return [data for data in found if len(data) < _FILE_MAX_BYTES]


def _load(data: bytes) -> str:
    with contextlib.suppress(Misconfigured):
        datasets.read(data)
        return "loaded"
    return "not loaded"


@click.command()
@click.option("--cases", default=1_000_000, show_default=True, help="number of inputs")
@click.option("--seed", default=1, show_default=True, help="seed of the edits")
def main(cases: int, seed: int) -> None:
    """Send damaged bodies to every door, and damaged files to the loader."""
    with terminal.progress(terminal.console()) as bar:
        task = bar.add_task("damaged inputs", total=cases)
        outcome = run(cases, seed, lambda: bar.advance(task))
    shown = ", ".join(f"{result} {count}" for result, count in sorted(outcome.results.items()))
    click.echo(
        f"{outcome.results.total()} damaged inputs: {shown}; crashes {bool(outcome.crash):d}"
    )
    if outcome.crash:
        click.echo(outcome.crash, err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
