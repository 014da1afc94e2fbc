"""What a reading costs Redis on one server, and on a cluster of primaries.

Both run the same load on the same cores, so the rate does not grow with the primaries. What limits
a deployment on more machines is the busiest primary: its CPU time per reading of the deployment.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import redis

from bench import fleet, http_request, launch, machine, redis_cluster, redis_server, report, wrk
from bench.http_request import Request
from bench.peers.payloads import FLEET, FLEET_DEVICES, METRIC
from bench.peers.tributary_peer import TRIBUTARY
from tributary.operate import status
from tributary.settings import PREFIX, Settings
from tributary.store import redis_client

_READINGS = 1_000
_ARRAY = json.dumps(
    [{"device": f"car-{n * FLEET_DEVICES // _READINGS:05}", METRIC: 92.3} for n in range(_READINGS)]
).encode()
_SINGLE = Request("POST", "/record", FLEET, expected=b"true", numbers=FLEET_DEVICES)
_CASES = (
    ("single", 32, _SINGLE),
    ("single", 256, _SINGLE),
    ("array of 1,000", 32, Request("POST", "/record", _ARRAY, readings=_READINGS)),
)
_DRAIN_S = 120.0
_POLL_S = 0.25


class Sample(msgspec.Struct, frozen=True):
    """One measurement, per second or per reading of the deployment."""

    rate: float
    total_us: float  # of all primaries
    busiest_us: float
    file_bytes: float


class Side:
    """A deployment: its primaries, ingest and an aggregator."""

    def __init__(self, primaries: list[redis.Redis], ingest: str, settings: Settings) -> None:
        self._primaries = primaries
        self._ingest = ingest
        self._settings = settings

    def join(self) -> None:
        """Record each device of the fleet once."""
        fleet.join(self._ingest, FLEET_DEVICES)

    def run(self, request: Request, connections: int, seconds: float, folder: Path) -> Sample:
        """Send requests, wait until every reading is applied, and divide what was used."""
        before = [redis_server.usage(each) for each in self._primaries]
        accepted = self._drained()
        found = wrk.load(self._ingest, request, folder, connections=connections, seconds=seconds)
        readings = self._drained() - accepted
        costs = [
            redis_server.cost(then, redis_server.usage(each), readings)
            for then, each in zip(before, self._primaries, strict=True)
        ]
        spent_us = [each.redis_us for each in costs]
        written = sum(each.file_bytes for each in costs)
        return Sample(found.rate * request.readings, sum(spent_us), max(spent_us), written)

    def _drained(self) -> int:
        """How many readings were accepted, once all are applied."""
        with contextlib.closing(redis_client.connect(self._settings)) as client:
            deadline_s = time.monotonic() + _DRAIN_S
            while (found := status.read(client, self._settings)).pending:
                if time.monotonic() > deadline_s:
                    raise SystemExit(f"bench: {found.pending} readings are not applied")
                time.sleep(_POLL_S)
        if found.lost:
            raise SystemExit(f"bench: {found.lost} readings were lost")
        return found.accepted


@click.command("primaries", epilog="Example: scripts/bench primaries --rounds 5 --seconds 4")
@click.option("--primaries", default=3, show_default=True, type=click.IntRange(3, 16))
@click.option("--partitions", default=Settings().partitions, show_default=True)
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=4.0, show_default=True, help="length of each load")
def command(primaries: int, partitions: int, rounds: int, seconds: float) -> None:
    """CPU time of Redis per reading, recorded and applied: one server, and a cluster.

    Debian's redis-server, a fleet of 20,000 devices, alternating rounds; medians.
    """
    warning = machine.load_warning()
    samples = measure(primaries, partitions, rounds, seconds)
    click.echo(_table(samples, primaries))
    click.echo("\n".join([machine.description(), *warning]))


def measure(
    primaries: int, partitions: int, rounds: int, seconds: float
) -> dict[tuple[str, int], dict[str, list[Sample]]]:
    """Case and connections → side → a sample per round."""
    found: dict[tuple[str, int], dict[str, list[Sample]]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="tributary-bench-") as temporary,
        contextlib.ExitStack() as up,
    ):
        folder = Path(temporary)
        sides = {
            "one": up.enter_context(_side(folder / "one", 1, partitions)),
            "cluster": up.enter_context(_side(folder / "cluster", primaries, partitions)),
        }
        for side in sides.values():
            side.join()
            side.run(_SINGLE, 256, seconds, folder)
        for number in range(rounds):
            for case, connections, request in _CASES:
                for name in sorted(sides, reverse=bool(number % 2)):
                    sample = sides[name].run(request, connections, seconds, folder)
                    by_side = found.setdefault((case, connections), {each: [] for each in sides})
                    by_side[name].append(sample)
    return found


@contextlib.contextmanager
def _side(folder: Path, primaries: int, partitions: int) -> Iterator[Side]:
    folder.mkdir()
    with contextlib.ExitStack() as up:
        if primaries == 1:
            client = redis_server.connect(up.enter_context(redis_server.start(folder)))
            clients = [up.enter_context(contextlib.closing(client))]
        else:
            clients = up.enter_context(redis_cluster.start(folder, primaries))
        settings = Settings(redis_url=redis_cluster.url(clients), partitions=partitions)
        port = launch.free_port()
        variables = {
            "REDIS_URL": settings.redis_url,
            "PARTITIONS": partitions,
            "LOG_LEVEL": "WARNING",
        }
        environ = {PREFIX + name: str(value) for name, value in variables.items()}
        aggregator = machine.pin(machine.LOAD_CORE, [*TRIBUTARY, "aggregator"])
        ingest = [*TRIBUTARY, "ingest", "--port", str(port), "--ingest-workers", "1"]
        log = folder / "ingest.log"
        up.enter_context(launch.process(aggregator, folder / "aggregator.log", environ))
        pinned = machine.pin(machine.SERVER_CORE, ingest)
        running = up.enter_context(launch.process(pinned, log, environ))
        url = f"http://127.0.0.1:{port}"
        launch.wait_until_ready(lambda: http_request.is_responding(url), running, log)
        http_request.check(url, _SINGLE)
        yield Side(clients, url, settings)


def _table(samples: dict[tuple[str, int], dict[str, list[Sample]]], primaries: int) -> str:
    rows = []
    for (case, connections), sides in samples.items():
        for name, shown in (("one", "1"), ("cluster", str(primaries))):
            figures = [
                statistics.median(getattr(sample, field) for sample in sides[name])
                for field in Sample.__struct_fields__
            ]
            rate, total_us, busiest_us, file_bytes = figures
            rows.append(
                (case, str(connections), shown, f"{rate:,.0f}", f"{total_us:.2f}",
                 f"{busiest_us:.2f}", f"{_ratio(sides, name):.2f}", f"{file_bytes:.0f}")
            )  # fmt: skip
    titles = (
        "request", "connections", "primaries", "readings/s", "Redis µs per reading",
        "of the busiest primary", "of that on one server", "file bytes per reading",
    )  # fmt: skip
    return report.section("One server and a cluster", report.table(titles, rows))


def _ratio(sides: dict[str, list[Sample]], name: str) -> float:
    """The median over the rounds of the busiest primary divided by the one server."""
    pairs = zip(sides[name], sides["one"], strict=True)
    return statistics.median(each.busiest_us / one.busiest_us for each, one in pairs)
