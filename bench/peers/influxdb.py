"""InfluxDB 1.x: the mean over 15 minutes, computed for each request."""

from __future__ import annotations

import time
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode

from bench.http_request import Request, check
from bench.peers.peer import Peer

_CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
  dir = "{folder}/influx/meta"
[data]
  dir = "{folder}/influx/data"
  wal-dir = "{folder}/influx/wal"
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
[monitor]
  store-enabled = false
[logging]
  level = "error"
"""
_WINDOW_NS = 15 * 60 * 1_000_000_000
_LINES = 5_000


class InfluxDB(Peer):
    """One series with a number of points, spread evenly over the window."""

    name = "InfluxDB"
    package = "influxdb"
    needs = ("influxd",)
    outlasts_load = True  # queries whose clients have gone are computed to the end
    promise = "the exact mean of the window, computed for each request"

    def __init__(self, points: int) -> None:
        super().__init__()
        self._points = points
        self._until_ns = time.time_ns()

    def start(self, folder: Path) -> None:
        """Start with an empty directory, and write the points."""
        config = folder / "influxdb.conf"

        def command(port: int) -> list[str]:
            config.write_text(_CONFIG.format(folder=folder, port=port))
            return ["influxd", "-config", str(config)]

        self.serve(command, folder)
        check(self.url, Request("POST", "/query?" + urlencode({"q": "CREATE DATABASE bench"})))
        self._fill()

    def request(self, case: str) -> Request | None:
        """MEAN over the 15 minutes before the last point."""
        if case != "collect":
            return None
        query = (  # with trusted integers
            "SELECT MEAN(temperature) FROM engine WHERE device = 'car-7' "  # noqa: S608
            f"AND time >= {self._until_ns - _WINDOW_NS} AND time < {self._until_ns}"
        )
        path = "/query?" + urlencode({"db": "bench", "q": query})
        return Request("GET", path, expected=b'"mean"')

    def stored(self) -> int | None:
        """The measurement does not write."""
        return None

    def _fill(self) -> None:
        interval_ns = _WINDOW_NS // self._points
        first_ns = self._until_ns - self._points * interval_ns
        for start in range(0, self._points, _LINES):
            lines = b"\n".join(
                b"engine,device=car-7 temperature=%d.3 %d"
                % (90 + n % 7, first_ns + n * interval_ns)
                for n in range(start, min(start + _LINES, self._points))
            )
            written = Request("POST", "/write?db=bench", lines, status=HTTPStatus.NO_CONTENT)
            check(self.url, written)
