"""VictoriaMetrics, single node, fed with InfluxDB's line protocol."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path

from bench.http_request import Request, ask
from bench.peers import payloads
from bench.peers.peer import Peer

_INSERTED = re.compile(rb'vm_rows_inserted_total\{type="influx"\} (\d+)')


class VictoriaMetrics(Peer):
    """Its own storage directory. A 204 comes when the rows are in its memory."""

    name = "VictoriaMetrics"
    package = "victoria-metrics"
    needs = ("victoria-metrics",)
    promise = "in its memory, written to disk within seconds: a kill of the process loses rows"

    def __init__(self, *, timed: bool = True) -> None:
        super().__init__()
        self._batch = payloads.Batch(timed=timed)

    def start(self, folder: Path) -> None:
        """Start on an empty directory."""
        self.serve(
            lambda port: [
                "victoria-metrics",
                f"-storageDataPath={folder / 'victoria'}",
                f"-httpListenAddr=127.0.0.1:{port}",
                "-loggerLevel=ERROR",
            ],
            folder,
        )

    def request(self, case: str) -> Request | None:
        """/write of one line, or of 1,000 lines of 100 devices or of one."""
        made = {
            "single": lambda: payloads.ONE_LINE,
            "array": lambda: self._batch.lines(payloads.DEVICES),
            "columns": lambda: self._batch.lines(1),
        }.get(case)
        if made is None:
            return None
        readings = 1 if case == "single" else payloads.READINGS
        return Request("POST", "/write", made(), status=HTTPStatus.NO_CONTENT, readings=readings)

    def stored(self) -> int | None:
        """Rows inserted, as its own metrics say."""
        _, text = ask(self.url, Request("GET", "/metrics"))
        found = _INSERTED.search(text)
        return int(found[1]) if found else None
