"""An export reads the streams of every master of a Redis Cluster."""

from __future__ import annotations

import contextlib
import csv
import io
from pathlib import Path

from support import folding
from support.cluster import Cluster

from jobs.export import work
from tributary.model.export import Spec
from tributary.model.frame import Block
from tributary.settings import Settings
from tributary.store import redis_client


def test_every_reading_of_every_master_is_exported(tmp_path: Path):
    with contextlib.closing(Cluster(tmp_path / "cluster")) as cluster:
        settings = Settings(redis_url=cluster.url, heartbeat_ms=100, data_dir=str(tmp_path))
        with contextlib.closing(redis_client.connect(settings)) as client:
            for number in range(40):
                block = Block(f"car-{number}", number, {"speed": float(number)})
                folding.append(client, settings, [block])
            folding.aggregate(settings, client)
            file = io.BytesIO()
            source = work.source_of(settings, client, Spec())
            result = work.write(source, "csv", file, lambda _progress: None)
            held = [len(node.client.keys("*:readings")) for node in cluster.masters]
        rows = csv.DictReader(io.StringIO(file.getvalue().decode()))
        found = {row["device"]: float(row["value"]) for row in rows}
        assert found == {f"car-{number}": float(number) for number in range(40)}
        assert result.rows == 40
        assert all(held), "the partitions are on several servers"
