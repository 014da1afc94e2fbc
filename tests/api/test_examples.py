"""Every example of the document is true: made on an empty deployment, it is answered so."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from support import pipeline, processes
from support.processes import Deployment, Process
from support.sse import Ear
from support.waiting import wait_until

from api.live.event import Stamp
from api.openapi.examples import EXAMPLES, Example
from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.model import reading

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_OF_THE_RUN = {"heartbeat_age_ms", "id", "max_memory_bytes", "used_memory_bytes", "version"}
_NEWEST = datetime.fromisoformat("2026-11-22T10:00:00.250Z")


def examples(when: str) -> list[Example]:
    """In their order, but what looks back ten seconds only as soon as the readings are there."""
    found = [example for example in EXAMPLES if example.when == when]
    return sorted(found, key=lambda e: (e.path != "/record", not e.path.endswith("/history")))


class Moved:
    """A deployment that began when the newest reading of the examples was recorded."""

    def __init__(self, data_dir: Path) -> None:
        # A machine may be slow: what is told of here is the answer, not how soon it was given.
        environ = {"TRIBUTARY_STALE_AFTER_MS": "600000", "TRIBUTARY_PARTITIONS": "2"}
        self.up = Deployment(data_dir, environ=environ)
        now_ms = time.time_ns() // 1_000_000
        self._later_ms = now_ms - round(_NEWEST.timestamp() * 1000)

    def make(self, example: Example, url: str = "", **headers: str) -> tuple[int, Any]:
        body = example.body
        if body is not None:
            text = body if isinstance(body, str) else json.dumps(body)
            body = _TIME.sub(self._moved, text).encode()
            headers["Content-Type"] = example.content_type
        headers |= {k: v for k, v in example.parameters.items() if k[0].isupper()}
        return processes.request(url or self.up.url, example.method, example.target, body, headers)

    def _moved(self, match: re.Match[str]) -> str:
        moment = datetime.fromisoformat(match[0]) + timedelta(milliseconds=self._later_ms)
        return reading.rfc3339(round(moment.timestamp() * 1000))


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moved]:
    running = Moved(tmp_path_factory.mktemp("examples"))
    yield running
    assert running.up.stop() == 0


def timeless(answer: Any, name: str = "") -> Any:
    """The answer without the moment it was given at, and whose."""
    if isinstance(answer, dict):
        return {name: timeless(value, name) for name, value in answer.items()}
    if name == "slots":  # the moment says in which of them the readings stand
        counted = [slot["mean"] for slot in answer if slot["count"]]
        return [len(answer), sorted(answer[0]), counted]
    if isinstance(answer, list):
        return [timeless(value) for value in answer]
    if name in _OF_THE_RUN or (name == "age_ms" and isinstance(answer, int)):
        return name.upper()
    return "TIME" if isinstance(answer, str) and _TIME.fullmatch(answer) else answer


def test_a_name_stands_once_for_each_path():
    names = [(example.path, example.method, example.name) for example in EXAMPLES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("example", examples(""), ids=lambda e: f"{e.method} {e.path} {e.name}")
def test_an_example_is_answered_so(moved: Moved, example: Example):
    def answered() -> bool:
        nonlocal status, answer
        status, answer = moved.make(example)
        is_it = (status, timeless(answer)) == (example.status, timeless(example.answer))
        return is_it or example.path == "/record"

    status, answer = 0, None
    wait_until(answered, f"{example.answer}; the last was {answer}", 10)
    assert (status, timeless(answer)) == (example.status, timeless(example.answer))


def test_examples_of_listening_are_answered_so(moved: Moved):
    for example in examples("somebody listens"):
        fields = dict(line.split(": ", 1) for line in example.answer.splitlines() if line)
        ear = Ear(moved.up.url, example.target.removeprefix(example.path))
        heard = ear.wait_for(example.parameters["device"])
        ear.close()
        assert (ear.response.status, heard.type) == (example.status, fields["event"])
        assert Stamp.parse(heard.id)
        assert Stamp.parse(fields["id"])
        assert timeless(heard.data) == timeless(json.loads(fields["data"]))


def test_examples_with_tokens_are_answered_so(moved: Moved):
    client = moved.up.redis
    rooms = Token("rooms", "rooms", "room/*", ("record", "collect"), 0)
    secrets = {"rooms": tokens.create(client, rooms)}
    wait_until(lambda: moved.up.get("/collect")[0] == 401, "tokens to be asked for")
    for example in examples("tokens are asked for"):
        sent = {"Authorization": f"Bearer {secrets[example.token]}"} if example.token else {}
        assert moved.make(example, **sent) == (example.status, example.answer)
    tokens.revoke(client, "rooms")
    wait_until(lambda: moved.up.get("/collect")[0] == 200, "no token to be asked for")
    client.close()


def test_examples_with_a_limited_rate_are_answered_so(moved: Moved, run: Callable[..., Process]):
    redis_url = (moved.up.data_dir / "redis.url").read_text().strip()
    environ = {
        "TRIBUTARY_REDIS_URL": redis_url,
        "TRIBUTARY_PARTITIONS": "2",
        "TRIBUTARY_RATE_PER_DEVICE": "0.001",
    }
    url = pipeline.serving(run("ingest", "--port", "0", environ=environ))
    for example in examples("the rate is limited"):
        told = wait_until(lambda e=example: _limited(moved.make(e, url)), "429")
        assert told == (example.status, example.answer)


def _limited(told: tuple[int, Any]) -> tuple[int, Any] | None:
    return told if told[0] == 429 else None


def test_examples_without_the_lane_are_answered_so(moved: Moved, run: Callable[..., Process]):
    redis_url = (moved.up.data_dir / "redis.url").read_text().strip()
    environ = {"TRIBUTARY_REDIS_URL": redis_url, "TRIBUTARY_PARTITIONS": "2"}
    url = pipeline.serving(run("api", "--no-lane", "--port", "0", environ=environ))
    for example in examples("there is no lane"):
        assert moved.make(example, url) == (example.status, example.answer)


def test_examples_while_redis_is_away_are_answered_so(moved: Moved):
    server = moved.up.redis.info("server")["process_id"]
    os.kill(server, signal.SIGSTOP)
    try:
        for example in examples("redis is away"):
            status, answer = moved.make(example)
            assert status == example.status == 503
            assert _wordless(answer) == _wordless(example.answer)
    finally:
        os.kill(server, signal.SIGCONT)


def _wordless(answer: Any) -> Any:
    """The answer without the words for what is wrong with Redis, which differ by the moment."""
    if isinstance(answer, dict):
        return {name: _wordless(v) for name, v in answer.items() if name != "message"}
    return len(answer) if isinstance(answer, list) else answer


def test_the_document_has_every_example_and_no_other(moved: Moved):
    with urlopen(f"{moved.up.url}/openapi.json") as response:
        document = json.load(response)
    shown = sum(_examples(document["paths"]))
    taken = document["paths"]["/record"]["post"]["requestBody"]["content"]
    bodies = [e for e in EXAMPLES if e.body is not None and e.content_type in taken]
    assert shown == len(EXAMPLES) + len(bodies) + sum(len(e.parameters) for e in EXAMPLES)


def _examples(node: Any) -> Iterator[int]:
    if isinstance(node, dict):
        assert "example" not in node
        yield len(node.get("examples", ()))
        for name, value in node.items():
            if name != "examples":
                yield from _examples(value)
    elif isinstance(node, list):
        for value in node:
            yield from _examples(value)
