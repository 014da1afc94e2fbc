"""Two deployments that differ only in the lane, and their comparison."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from support.pipeline import drained, environ
from support.processes import Server, tributary
from support.waiting import wait_until
from support.webs import Web

from differential.generator import BATCH_MAX_READINGS, BODY_MAX_BYTES, KNOWN, Generator
from differential.wire import Client, Request, Response
from tributary.auth import tokens
from tributary.auth.tokens import SCOPES, Token
from tributary.settings import Settings
from tributary.store import keys

CLIENTS = 4
_OLD_MS = 1_735_689_600_000  # 2025-01-01: every window of these readings is empty


class Difference(NamedTuple):
    """A request with two different responses."""

    request: Request
    lane: Response
    flask: Response

    def __str__(self) -> str:
        return f"{self.request.label}\n  sent  {self.request.raw[:600]!r}\n  lane  {self.lane}\n  flask {self.flask}"


class Side:
    """One deployment: a server and a web process, and an aggregator while draining."""

    def __init__(self, folder: Path, *, lane: bool) -> None:
        self.server = Server(folder)
        self.settings = Settings(
            redis_url=self.server.url,
            lane=lane,
            body_max_bytes=BODY_MAX_BYTES,
            batch_max_readings=BATCH_MAX_READINGS,
            heartbeat_ms=100,
            http_threads=32,  # enough that no list is rejected as one too many
        )
        self.web = Web(self.settings)

    def drain(self) -> None:
        """Run an aggregator until everything is applied."""
        aggregator = tributary("aggregator", environ=environ(self.settings))
        try:
            wait_until(lambda: drained(self.settings), "everything to be applied", 60)
        finally:
            aggregator.kill()

    def close(self) -> None:
        self.web.close()
        self.server.close()


class Pair:
    """Both deployments with the same devices and the same tokens."""

    def __init__(self, folder: Path) -> None:
        self.lane = Side(folder / "lane", lane=True)
        self.flask = Side(folder / "flask", lane=False)
        self.sides = (self.lane, self.flask)
        for side in self.sides:
            for number, device in enumerate(KNOWN):
                body = {"device": device, "recorded_at": _OLD_MS + number, "a": number, "b": 0.1}
                assert side.web.record(body).json == {"success": True}
            side.drain()
        self.tokens = self._make_tokens()
        self.statuses: Counter[int] = Counter()  # of every request compared

    def compare(self, seed: int, requests: int) -> list[Difference]:
        """Send the same requests to both, and return the differences."""
        share = math.ceil(requests / CLIENTS)
        generators = [Generator(f"{seed}-{n}", self.tokens) for n in range(CLIENTS)]
        played = [generator.batches(share) for generator in generators]
        responses: dict[tuple[int, int], list[Response]] = {}

        def play(number: int, side: int) -> Callable[[], None]:
            def run() -> None:
                client = Client(self.sides[side].web.port)
                responses[number, side] = client.play(played[number])

            return run

        threads = [
            threading.Thread(target=play(number, side), name=f"client {number} of side {side}")
            for number in range(CLIENTS)
            for side in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found: list[Difference] = []
        for number in range(CLIENTS):
            sent = [request for batch in played[number] for request in batch]
            both = zip(sent, responses[number, 0], responses[number, 1], strict=True)
            triples = [Difference(*triple) for triple in both]
            self.statuses.update(triple.lane.status for triple in triples)
            found += [triple for triple in triples if not is_same(triple.lane, triple.flask)]
        return found

    def totals(self) -> list[dict[str, Any]]:
        """The totals of every device on each side, after everything is applied."""
        held = []
        for side in self.sides:
            side.drain()
            secret = self.tokens["all"]
            listed = side.web.get("/api/v1/devices?limit=1000", secret).json["devices"]
            names = [entry["device"] for entry in listed]
            held.append(
                {n: _totals(side.web.get(f"/api/v1/devices/{n}", secret).json) for n in names}
            )
        return held

    def close(self) -> None:
        for side in self.sides:
            side.close()

    def _make_tokens(self) -> Mapping[str, str]:
        client = self.lane.server.client
        secrets = {
            "all": tokens.create(client, _token("all", "*", *SCOPES)),
            "record": tokens.create(client, _token("record", "*", "record")),
            "collect": tokens.create(client, _token("collect", "*", "collect")),
            "operate": tokens.create(client, _token("operate", "*", "operate")),
            "cars": tokens.create(client, _token("cars", "car-*", "record", "collect")),
            "known": tokens.create(client, _token("known", "known*", "record", "collect")),
            "late": tokens.create(client, _token("late", "*", *SCOPES, expires_at_ms=1)),
            "revoked": tokens.create(client, _token("revoked", "*", *SCOPES)),
        }
        tokens.revoke(client, "revoked")
        self.flask.server.client.hset(keys.TOKENS, mapping=client.hgetall(keys.TOKENS))
        for side in self.sides:
            wait_until(
                lambda side=side: side.web.get("/collect").status == 401, "tokens to be required"
            )
        return secrets


def is_same(lane: Response, flask: Response) -> bool:
    """Whether two responses are equal."""
    if lane.status == flask.status == 413:
        # The lane does not read such a body and ends the connection; without it, it is read.
        lane, flask = (each._replace(ended=True) for each in (lane, flask))
    return lane == flask


def _token(
    name: str, device: str, *scopes: tokens.Scope, expires_at_ms: int | None = None
) -> Token:
    return Token(name, name, device, scopes, 0, expires_at_ms)


def _totals(device: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Count, minimum and maximum of each metric, and the mean to 9 digits, since sums vary by order."""
    return {
        name: (
            metric["total"]["count"],
            metric["total"]["min"],
            metric["total"]["max"],
            f"{metric['total']['mean']:.9e}",
        )
        for name, metric in device["metrics"].items()
    }
