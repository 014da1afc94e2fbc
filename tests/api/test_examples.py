"""Every example of the document gets the documented response from an empty deployment."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from support import pipeline, processes
from support.processes import WITH_JOBS, Deployment, Process
from support.sse import Ear
from support.waiting import wait_until

from api.live.event import Stamp
from api.openapi.examples import EXAMPLES, Example
from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.model import reading
from tributary.model.catalogue import DEFAULT_FILE
from tributary.model.clock import utc_ms

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_VOLATILE = {"heartbeat_age_ms", "id", "link", "max_memory_bytes", "used_memory_bytes", "version"}
_RULE = "[speed.alerts.too_fast]\nabove = 70\n"
_NEWEST = datetime.fromisoformat("2026-11-22T10:00:00.250Z")


def examples(when: str) -> list[Example]:
    """Examples in order: first those that record, then those that need recent readings."""
    found = [example for example in EXAMPLES if example.when == when]
    return sorted(found, key=lambda e: (e.path != "/record", not e.path.endswith("/history")))


class ShiftedDeployment:
    """A deployment that receives the examples with their times shifted to the present."""

    def __init__(self, data_dir: Path) -> None:
        # A slow machine must not make the readings stale.
        environ = {"TRIBUTARY_STALE_AFTER_MS": "600000", "TRIBUTARY_PARTITIONS": "2"}
        metrics = data_dir.with_name("metrics.toml")
        metrics.write_text(DEFAULT_FILE.read_text() + _RULE)
        environ["TRIBUTARY_METRICS_FILE"] = str(metrics)
        self.up = Deployment(data_dir, environ={**environ, **WITH_JOBS})
        # By whole seconds: readings of the same second must not be split by the end of a slot.
        self._offset_ms = (utc_ms() - round(_NEWEST.timestamp() * 1000)) // 1000 * 1000

    def send(self, example: Example, url: str = "", **headers: str) -> tuple[int, Any]:
        body = example.body
        if body is not None:
            text = body if isinstance(body, str) else json.dumps(body)
            body = _TIME.sub(self._shift, text).encode()
            headers["Content-Type"] = example.content_type
        headers |= {k: v for k, v in example.parameters.items() if "-" in k}
        return processes.request(url or self.up.url, example.method, example.target, body, headers)

    def _shift(self, match: re.Match[str]) -> str:
        moment = datetime.fromisoformat(match[0]) + timedelta(milliseconds=self._offset_ms)
        return reading.rfc3339(round(moment.timestamp() * 1000))


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShiftedDeployment]:
    running = ShiftedDeployment(tmp_path_factory.mktemp("examples"))
    yield running
    assert running.up.stop() == 0


def normalized(body: Any, name: str = "") -> Any:
    """The body without what depends on the time and the process."""
    if isinstance(body, dict):
        return {name: normalized(value, name) for name, value in body.items()}
    if name == "value" and isinstance(body, list):  # of Prometheus, with the time of the request
        return ["TIME", body[1]]
    if name == "slots":  # which slots have readings depends on the time
        means = [slot["mean"] for slot in body if slot["count"]]
        return [len(body), sorted(body[0]), means]
    if isinstance(body, list):
        return [normalized(value) for value in body]
    if name in _VOLATILE or (name == "age_ms" and isinstance(body, int)):
        return name.upper()
    return "TIME" if isinstance(body, str) and _TIME.fullmatch(body) else body


def test_names_are_unique_within_a_path():
    names = [(example.path, example.method, example.name) for example in EXAMPLES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("example", examples(""), ids=lambda e: f"{e.method} {e.path} {e.name}")
def test_responds_as_documented(shifted: ShiftedDeployment, example: Example):
    expected = (example.status, normalized(example.response))

    def responds() -> bool:
        nonlocal status, body
        status, body = shifted.send(example)
        return (status, normalized(body)) == expected or example.path == "/record"

    status, body = 0, None
    wait_until(responds, f"{example.response}; the last was {body}", 40)
    assert (status, normalized(body)) == expected


def test_sends_events_as_documented(shifted: ShiftedDeployment):
    for example in examples("a client listens"):
        fields = dict(line.split(": ", 1) for line in example.response.splitlines() if line)
        ear = Ear(shifted.up.url, example.target.removeprefix(example.path))
        heard = ear.wait_for(example.parameters["device"])
        ear.close()
        assert (ear.response.status, heard.type) == (example.status, fields["event"])
        assert Stamp.parse(heard.id)
        assert Stamp.parse(fields["id"])
        assert normalized(heard.data) == normalized(json.loads(fields["data"]))


def test_responds_as_documented_where_tokens_are_required(shifted: ShiftedDeployment):
    client = shifted.up.redis
    rooms = Token("rooms", "rooms", "room/*", ("record", "collect"), 0)
    secrets = {"rooms": tokens.create(client, rooms)}
    wait_until(lambda: shifted.up.get("/collect")[0] == 401, "tokens to be required")
    for example in examples("tokens are required"):
        sent = {"Authorization": f"Bearer {secrets[example.token]}"} if example.token else {}
        assert shifted.send(example, **sent) == (example.status, example.response)
    tokens.revoke(client, "rooms")
    wait_until(lambda: shifted.up.get("/collect")[0] == 200, "tokens not to be required")
    client.close()


def test_responds_as_documented_over_the_rate_limit(
    shifted: ShiftedDeployment, run: Callable[..., Process]
):
    redis_url = (shifted.up.data_dir / "redis.url").read_text().strip()
    environ = {
        "TRIBUTARY_REDIS_URL": redis_url,
        "TRIBUTARY_PARTITIONS": "2",
        "TRIBUTARY_RATE_PER_DEVICE": "0.001",
    }
    url = pipeline.serving(run("ingest", "--port", "0", environ=environ))
    for example in examples("the rate is limited"):
        found = wait_until(lambda e=example: _limited(shifted.send(e, url)), "429")
        assert found == (example.status, example.response)


def _limited(found: tuple[int, Any]) -> tuple[int, Any] | None:
    return found if found[0] == 429 else None


def test_responds_as_documented_without_the_lane(
    shifted: ShiftedDeployment, run: Callable[..., Process]
):
    redis_url = (shifted.up.data_dir / "redis.url").read_text().strip()
    environ = {"TRIBUTARY_REDIS_URL": redis_url, "TRIBUTARY_PARTITIONS": "2"}
    url = pipeline.serving(run("api", "--no-lane", "--port", "0", environ=environ))
    for example in examples("without the lane"):
        assert shifted.send(example, url) == (example.status, example.response)


def test_responds_as_documented_while_redis_is_unavailable(shifted: ShiftedDeployment):
    server = shifted.up.redis.info("server")["process_id"]
    os.kill(server, signal.SIGSTOP)
    try:
        for example in examples("Redis is unavailable"):
            status, body = shifted.send(example)
            assert status == example.status == 503
            assert _without_messages(body) == _without_messages(example.response)
    finally:
        os.kill(server, signal.SIGCONT)


def _without_messages(body: Any) -> Any:
    """The body without its messages, which depend on when Redis was stopped."""
    if isinstance(body, dict):
        return {name: _without_messages(v) for name, v in body.items() if name != "message"}
    return len(body) if isinstance(body, list) else body


def test_the_document_contains_exactly_the_examples(shifted: ShiftedDeployment):
    with urlopen(f"{shifted.up.url}/openapi.json") as response:
        document = json.load(response)
    shown = sum(_examples(document["paths"]))
    responses = [example for example in EXAMPLES if example.response is not None]
    bodies = [e for e in EXAMPLES if e.body is not None and e.content_type in accepted(document, e)]
    assert shown == len(responses) + len(bodies) + sum(len(e.parameters) for e in EXAMPLES)


def accepted(document: dict[str, Any], example: Example) -> Collection[str]:
    """The content types of the requests that an example is one of."""
    operation = document["paths"][example.path][example.method.lower()]
    return operation.get("requestBody", {}).get("content", {}).keys()


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
