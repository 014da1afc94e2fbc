"""What `scripts/bench history` measures: the history on both databases, and InfluxDB."""

from __future__ import annotations

import contextlib
import http.client
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import msgspec
import numpy as np
import sqlalchemy

from bench import history_data, launch
from bench.http_request import Request, check, is_responding
from bench.peers import postgresql
from tributary.history import reads
from tributary.history.database import Database
from tributary.history.slots import HOUR_MS, MINUTE_MS, Slots
from tributary.history.store import begin
from tributary.settings import Settings

_EVERYTHING_MS = 2**62


class Store(ABC):
    """A database of minutes."""

    name: str

    @abstractmethod
    def write(self, slots: Slots) -> None:
        """Store minutes, durably."""

    @abstractmethod
    def size_bytes(self) -> int:
        """Bytes on disk, once nothing is left to write."""

    @abstractmethod
    def one(self, device: str, from_ms: int) -> int:
        """Read the minutes of one series from a time on; returns how many."""

    @abstractmethod
    def many(self, slot_ms: int, from_ms: int) -> int:
        """Read the minutes or hours of all series; returns how many."""


class History(Store):
    """The history of Tributary; hours and days are stored, too."""

    def __init__(self, name: str, db: Database, data_dir: Path) -> None:
        self.name = name
        self.db = db
        self._data_dir = data_dir

    def write(self, slots: Slots) -> None:
        """One transaction, which also merges hours and days."""
        with begin(self.db, 0) as transaction:
            transaction.merge(slots)

    def size_bytes(self) -> int:
        """Size of the file, or of the tables with their indexes."""
        self.db.scrub()
        if self.db.engine.dialect.name == "sqlite":
            return sum(path.stat().st_size for path in self._data_dir.glob("history.db*"))
        query = (
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        with self.db.reading() as connection:
            return int(connection.scalar(sqlalchemy.text(query)))

    def one(self, device: str, from_ms: int) -> int:
        """Rows as arrays."""
        metric = history_data.METRIC
        return len(reads.read(self.db, device, metric, MINUTE_MS, from_ms, _EVERYTHING_MS)[0])

    def many(self, slot_ms: int, from_ms: int) -> int:
        """Rows as arrays, in pages."""
        pages = reads.read_many(self.db, "*", None, slot_ms, from_ms, _EVERYTHING_MS)
        return sum(len(page.cells) for page in pages)


class InfluxDB(Store):
    """InfluxDB 1.x with the minutes as points; it computes hours for each query."""

    name = "InfluxDB"
    _FIELDS = "count, mean, m2, min, max"
    _POINTS_PER_REQUEST = 10_000
    _STABLE_S = 20

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        create = Request("POST", "/query?" + urlencode({"q": "CREATE DATABASE bench"}))
        check(url, create)

    def write(self, slots: Slots) -> None:
        """Line protocol, in requests of 10,000 points."""
        names = [device for device, _ in slots.series]
        cells = (slots.cells[name].tolist() for name in ("count", "mean", "m2", "min", "max"))
        rows = zip(slots.index.tolist(), slots.slot_ms.tolist(), *cells, strict=True)
        lines = [
            f"engine,device={names[n]} count={count}i,mean={mean},m2={m2},min={low},max={high} {at}"
            for n, at, count, mean, m2, low, high in rows
        ]
        for start in range(0, len(lines), self._POINTS_PER_REQUEST):
            body = "\n".join(lines[start : start + self._POINTS_PER_REQUEST]).encode()
            path = "/write?db=bench&precision=ms"
            check(self._url, Request("POST", path, body, status=HTTPStatus.NO_CONTENT))

    def size_bytes(self) -> int:
        """The size once compaction has ended: it did not change for 20 s."""
        size, since_s = -1, time.monotonic()
        while time.monotonic() - since_s < self._STABLE_S:
            # Files of the index are allocated in advance, and sparse.
            files = [path.stat() for path in self._folder.rglob("*") if path.is_file()]
            found = sum(file.st_blocks * 512 for file in files)
            if found != size:
                size, since_s = found, time.monotonic()
            time.sleep(0.5)
        return size

    def one(self, device: str, from_ms: int) -> int:
        """Every field of the points."""
        return self._query(
            f"SELECT {self._FIELDS} FROM engine WHERE device = '{device}' AND time >= {from_ms}ms"  # noqa: S608 (trusted values)
        )

    def many(self, slot_ms: int, from_ms: int) -> int:
        """Points of all series, or hours computed from them."""
        if slot_ms == MINUTE_MS:
            query = f"SELECT {self._FIELDS} FROM engine WHERE time >= {from_ms}ms GROUP BY device"  # noqa: S608
        else:
            query = (
                "SELECT sum(count), mean(mean), min(min), max(max) FROM engine "  # noqa: S608
                f"WHERE time >= {from_ms}ms AND time < {history_data.END_MS}ms "
                f"GROUP BY time({slot_ms // HOUR_MS}h), device"
            )
        return self._query(query)

    def _query(self, query: str) -> int:
        """The number of rows; large results come in pieces."""
        connection = http.client.HTTPConnection(urlsplit(self._url).netloc, timeout=600)
        options = {"db": "bench", "epoch": "ms", "chunked": "true", "q": query}
        count = 0
        with contextlib.closing(connection):
            connection.request("GET", "/query?" + urlencode(options))
            for line in connection.getresponse():
                for result in msgspec.json.decode(line)["results"]:
                    if "error" in result:
                        raise SystemExit(f"bench: InfluxDB reports {result['error']}")
                    count += sum(len(each["values"]) for each in result.get("series", ()))
        return count


_INFLUX_CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  cache-snapshot-write-cold-duration = "5s"
  compact-full-write-cold-duration = "10s"
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
[monitor]
  store-enabled = false
[logging]
  level = "error"
"""


@contextlib.contextmanager
def influxdb(folder: Path) -> Iterator[InfluxDB]:
    """Run a server; cold data is compacted after seconds, not hours, to measure its size."""
    port = launch.free_port()
    config, log, data = folder / "influxdb.conf", folder / "influxdb.log", folder / "influxdb"
    data.mkdir()
    config.write_text(_INFLUX_CONFIG.format(folder=data, port=port))
    url = f"http://127.0.0.1:{port}"
    with launch.process(["influxd", "-config", str(config)], log) as running:
        launch.wait_until_ready(lambda: is_responding(url), running, log)
        yield InfluxDB(url, data)


@contextlib.contextmanager
def sqlite(folder: Path) -> Iterator[History]:
    """A file."""
    db = Database.open(Settings(data_dir=str(folder)), migrate=True)
    with contextlib.closing(db):
        yield History("SQLite", db, folder)


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[History]:
    """A server."""
    with postgresql.cluster(folder) as url:
        db = Database.open(Settings(history_url=url), migrate=True)
        with contextlib.closing(db):
            yield History("PostgreSQL", db, folder)


def random_device(series: int, rng: np.random.Generator) -> str:
    """A device of the data."""
    return history_data.device(int(rng.integers(series)))
