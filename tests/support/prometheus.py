"""A Prometheus server for tests, on readings that are loaded before it starts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from support.processes import Process, exchange, free_port
from support.programs import needed
from support.waiting import wait_until

Row = tuple[str, str, int, float]  # metric, device, time (UTC ms), value


class Prometheus:
    """Debian's prometheus, without anything to scrape; rows are sorted by metric and device."""

    def __init__(self, folder: Path, rows: Iterable[Row]) -> None:
        program, tool = needed("prometheus"), needed("promtool")
        lines = [
            f'{metric}{{device="{device}"}} {value!r} {time_ms / 1000}'
            for metric, device, time_ms, value in rows
        ]
        readings, data = folder / "readings.txt", folder / "data"
        readings.write_text("\n".join([*lines, "# EOF", ""]))
        subprocess.run(
            [tool, "tsdb", "create-blocks-from", "openmetrics", str(readings), str(data)],
            check=True,
            capture_output=True,
        )
        (folder / "prometheus.yml").write_text("")
        self.url = f"http://127.0.0.1:{free_port()}"
        self.process = Process(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={data}",
                f"--web.listen-address={self.url.removeprefix('http://')}",
                "--storage.tsdb.retention.time=1000d",
            ]
        )
        wait_until(self._is_ready, "prometheus")

    def close(self) -> None:
        self.process.kill()

    def _is_ready(self) -> bool:
        assert self.process.popen.poll() is None, self.process.text
        try:
            return exchange(self.url, "GET", "/-/ready").status == 200
        except OSError:
            return False
