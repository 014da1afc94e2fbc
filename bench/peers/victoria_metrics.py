"""VictoriaMetrics (single node) with the line protocol of InfluxDB."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path

from bench.http_request import Request, send
from bench.peers import payloads
from bench.peers.peer import Peer

_INSERTED = re.compile(rb'vm_rows_inserted_total\{type="influx"\} (\d+)')


class VictoriaMetrics(Peer):
    """It responds with 204 when the rows are in its memory."""

    name = "VictoriaMetrics"
    package = "victoria-metrics"
    needs = ("victoria-metrics",)
    promise = "in its memory, written to disk within seconds; killing the process loses rows"

    def __init__(self, *, timed: bool = True) -> None:
        super().__init__()
        self._batch = payloads.Batch(timed=timed)

    def start(self, folder: Path) -> None:
        """Start with an empty directory."""
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
        """/write of one line, or of 1,000 lines of 100 devices, of one device or of agents."""
        lines = self._batch.of_lines(case)
        if case == "fleet":
            return Request(
                "POST", "/write", payloads.FLEET_LINE, status=HTTPStatus.NO_CONTENT,
                numbers=payloads.FLEET_DEVICES,
            )  # fmt: skip
        if case == "single":
            lines = payloads.ONE_LINE
        elif case in ("array", "columns"):
            lines = self._batch.lines(payloads.DEVICES if case == "array" else 1)
        if lines is None:
            return None
        readings = 1 if case == "single" else payloads.READINGS
        return Request("POST", "/write", lines, status=HTTPStatus.NO_CONTENT, readings=readings)

    def stored(self) -> int | None:
        """Rows inserted, from its metrics."""
        _, text = send(self.url, Request("GET", "/metrics"))
        found = _INSERTED.search(text)
        return int(found[1]) if found else None
