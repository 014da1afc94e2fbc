"""A real broker for tests: Debian's mosquitto, which can be killed and restarted on its data."""

from __future__ import annotations

import socket
from pathlib import Path

from support.processes import Process, free_port
from support.programs import needed
from support.waiting import wait_until

# mosquitto acknowledges before it saves: it saves after each round with at least one change.
_CONFIG = """
listener {port} 127.0.0.1
listener {websocket_port} 127.0.0.1
protocol websockets
user root
allow_anonymous {is_open}
password_file {folder}/passwords
persistence true
persistence_location {folder}/
autosave_interval 1
autosave_on_changes true
max_queued_messages 0
max_inflight_messages 0
"""


class Mosquitto:
    """A broker on ports of its own; `passwords`: lines of mosquitto_passwd, else all may connect.

    `tls`: a file with key and certificate, for a third port.
    """

    def __init__(self, folder: Path, passwords: str = "", tls: str = "") -> None:
        self._program = needed("mosquitto")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.port, self.websocket_port, self.tls_port = free_port(), free_port(), free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        (folder / "passwords").write_text(passwords)
        (folder / "passwords").chmod(0o600)
        config = _CONFIG.format(
            port=self.port,
            websocket_port=self.websocket_port,
            folder=folder.resolve(),
            is_open=str(not passwords).lower(),
        )
        if tls:
            config += f"listener {self.tls_port} 127.0.0.1\ncertfile {tls}\nkeyfile {tls}\n"
        (folder / "mosquitto.conf").write_text(config.strip() + "\n")
        self.start()

    def start(self) -> None:
        """Start on the existing data, and wait until it accepts connections."""
        self.process = Process([self._program, "-c", str(self._folder / "mosquitto.conf")])
        wait_until(self._accepts, "mosquitto to accept connections")

    def kill(self) -> None:
        self.process.kill()

    def stop(self) -> None:
        self.process.stop()

    @property
    def saved_at_s(self) -> float:
        """When it last saved its data; what it acknowledged before that survives a kill."""
        database = self._folder / "mosquitto.db"
        return database.stat().st_mtime if database.exists() else 0.0

    def _accepts(self) -> bool:
        if self.process.popen.poll() is not None:
            raise AssertionError(f"mosquitto ended: {self.process.text}")
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True
