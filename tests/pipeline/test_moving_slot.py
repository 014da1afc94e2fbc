"""What each path responds while the slot of a partition moves, and while the cluster is down."""

from __future__ import annotations

import contextlib
import gc
import shutil
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from redis.crc import key_slot
from support import pipeline
from support.cluster import Cluster, Move
from support.pipeline import Run
from support.processes import request
from support.sse import Ear
from support.waiting import wait_until

from jobs import archive
from tributary.errors import Unavailable
from tributary.operate import status
from tributary.operate.forgetting import requests
from tributary.settings import Settings
from tributary.store import keys, redis_client

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server")
TIMEOUT_MS = 400  # of Redis; requests wait this long for a slot
DEVICE = "car-1"
PARTITION = keys.partition_of(DEVICE, Settings().partitions)
# One device for each partition.
DEVICES = tuple(
    next(f"bus-{n}" for n in range(1000) if keys.partition_of(f"bus-{n}", 4) == partition)
    for partition in range(4)
)


class Site:
    """All roles on a cluster of two masters, and what happens to the slot of `DEVICE`."""

    def __init__(self, run: Run, folder: Path) -> None:
        self.cluster = Cluster(folder / "cluster", masters=2)
        self.settings = Settings(
            redis_url=self.cluster.url, heartbeat_ms=100, redis_timeout_ms=TIMEOUT_MS,
            data_dir=str(folder / "data"),
        )  # fmt: skip
        environ = pipeline.environ(self.settings)
        run("aggregator", environ=environ)
        self.ingest = pipeline.ingest(run, self.settings)
        self.flask = pipeline.serving(
            run("ingest", "--port", "0", environ={**environ, "TRIBUTARY_LANE": "false"})
        )
        self.api = pipeline.serving(run("api", "--port", "0", environ=environ))
        self.accepted = self._keys = 0  # readings of `DEVICE`
        for url in (self.ingest, self.flask, self.api):
            # A worker connects after its process has begun to serve.
            wait_until(lambda url=url: self.read("/readyz", url) == 200, "a role to be ready")
        slot = key_slot(keys.meta(PARTITION).encode())
        source = self.cluster.holder(slot)
        target = next(node for node in self.cluster.masters if node is not source)
        self.move = Move(slot, source, target)

    def record(self, url: str = "", devices: tuple[str, ...] = (DEVICE,), **headers: str) -> int:
        """Record a reading of each device, in one request; its status."""
        body: Any = [{"device": device, "speed": 1} for device in devices]
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        code, _ = request(url or self.ingest, "POST", "/record", body, named)
        self.accepted += devices == (DEVICE,) and code == 200
        return code

    def record_with_key(self) -> int:
        """Record a reading with a key of its own."""
        self._keys += 1
        return self.record(Idempotency_Key=f"key-{self._keys}")

    def read(self, path: str, url: str = "") -> int:
        """The status of a request to read."""
        return request(url or self.api, "GET", path, None, {})[0]

    def responses(self) -> dict[str, int]:
        """What each path responds now."""
        device = f"/api/v1/devices/{DEVICE}"
        paths: dict[str, Callable[[], int]] = {
            "record": self.record,
            "record with a key": self.record_with_key,
            "record for all partitions": lambda: self.record(devices=DEVICES),
            "record without the lane": lambda: self.record(self.flask),
            "collect": lambda: self.read(f"/collect?device={DEVICE}"),
            "collect some metrics": lambda: self.read(f"/collect?device={DEVICE}&metrics=speed"),
            "list": lambda: self.read("/api/v1/devices"),
            "device": lambda: self.read(device),
            "history": lambda: self.read(f"{device}/metrics/speed/history?window=1h"),
            "metrics": lambda: self.read("/metrics"),
            "ready to record": lambda: self.read("/readyz", self.ingest),
            "ready to read": lambda: self.read("/readyz"),
        }
        with ThreadPoolExecutor(len(paths)) as pool:
            return dict(
                zip(paths, pool.map(lambda respond: respond(), paths.values()), strict=True)
            )

    def applied(self) -> int:
        """How many readings of `DEVICE` are applied once everything is."""
        with contextlib.closing(redis_client.connect(self.settings)) as client:
            wait_until(lambda: status.read(client, self.settings).pending == 0, "a drain")
        found = request(self.api, "GET", f"/api/v1/devices/{DEVICE}", None, {})[1]
        return int(found["metrics"]["speed"]["total"]["count"])

    def archive(self) -> None:
        """Run the job that moves readings of the partition to the history."""
        archive.run(self.settings, PARTITION)

    def forget(self) -> None:
        """Ask to forget a device of the partition that does not exist."""
        with contextlib.closing(redis_client.connect(self.settings)) as client:
            requests.ask(client, self.settings, [DEVICES[PARTITION]])


@pytest.fixture
def site(run: Run, tmp_path: Path) -> Iterator[Site]:
    running = Site(run, tmp_path)
    yield running
    running.cluster.close()
    with warnings.catch_warnings():
        # redis-py does not close what it used before it discovered the cluster again.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def without(responses: dict[str, int], status: int) -> dict[str, int]:
    """The responses that have another status."""
    return {name: code for name, code in responses.items() if code != status}


def test_each_path_responds_and_nothing_is_lost(site: Site, run: Run):
    """In one test, since the site takes seconds to start."""
    assert site.record(devices=(DEVICE, *DEVICES)) == 200
    wait_until(lambda: pipeline.drained(site.settings), "the readings to be applied")
    assert without(site.responses(), 200) == {}
    move_the_slot(site, run)
    take_the_cluster_down(site)
    assert site.applied() == site.accepted + 1


def move_the_slot(site: Site, run: Run) -> None:
    """Move it step by step, and compare what each path responds."""
    need_all_keys = dict.fromkeys(("device", "history"), 503)

    site.move.begin()  # keys that do not exist get ASK, scripts with some of them TRYAGAIN
    assert without(site.responses(), 200) == {"record with a key": 503, **need_all_keys}
    with contextlib.closing(Ear(site.api, f"?device={DEVICE}")) as ear:
        site.move.keys(keys.meta(PARTITION))  # scripts for it and another key get TRYAGAIN
        not_recorded = {name: 503 for name in site.responses() if name.startswith("record")}
        assert without(site.responses(), 200) == {**not_recorded, **need_all_keys}
        for act in (site.archive, site.forget):
            with pytest.raises(Unavailable, match="slot of a partition is moving"):
                act()
        process = run("status", "--redis-url", site.settings.redis_url)
        assert process.end() == 1, process.text
        assert "moving to another node" in process.text, process.text
        assert run("doctor", "--redis-url", site.settings.redis_url).end() == 0
        site.move.keys()  # commands for it get ASK
        responses = without(site.responses(), 200)
        del not_recorded["record without the lane"]  # which redis-py repeats there
        assert responses == {**not_recorded, **need_all_keys}
        with ThreadPoolExecutor() as pool:
            waiting = [pool.submit(each) for each in (site.record, site.record_with_key)]
            site.move.end(site.cluster.masters)  # commands get MOVED
            assert [each.result() for each in waiting] == [200, 200]
        wait_until(lambda: without(site.responses(), 200) == {}, "every path to work")
        ear.wait_for(DEVICE, current_speed=1.0)
    site.archive()


def take_the_cluster_down(site: Site) -> None:
    """A slot without a node makes every node reject commands; let it be served again."""
    held = {key_slot(keys.meta(partition).encode()) for partition in range(4)}
    unused = next(slot for slot in range(16_384) if slot not in held)
    holder = site.cluster.holder(unused)
    for node in site.cluster.masters:
        node.client.execute_command("CLUSTER", "DELSLOTS", unused)
    wait_until(lambda: site.record() == 503, "the cluster to be down")
    assert without(site.responses(), 503) == {"metrics": 200}
    with pytest.raises(Unavailable):
        site.archive()
    holder.client.execute_command("CLUSTER", "ADDSLOTS", unused)
    wait_until(lambda: without(site.responses(), 200) == {}, "every path to work")
