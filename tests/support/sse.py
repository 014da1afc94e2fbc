"""A listener for live updates: reads an event stream in a thread, and keeps the events."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from typing import Any, NamedTuple

from support.waiting import wait_until


class Heard(NamedTuple):
    """An event and its time of arrival on the monotonic clock."""

    type: str
    id: str
    data: dict[str, Any]
    at_s: float


class Ear:
    """One connection to `/api/v1/live`."""

    def __init__(self, url: str, query: str = "", **headers: str) -> None:
        self.events: list[Heard] = []
        self.comments: list[str] = []
        self.has_ended = False
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request("GET", f"/api/v1/live{query}", headers=named)
        self._socket = self._connection.sock
        self.response = self._connection.getresponse()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait_for(self, device: str, timeout_s: float = 60, **fields: Any) -> Heard:
        """The first event of a device with these values."""

        def found() -> Heard | None:
            for heard in self.events:
                if heard.data["device"] == device and fields.items() <= heard.data.items():
                    return heard
            return None

        heard = wait_until(found, f"an event of {device} with {fields}", timeout_s)
        assert heard is not None
        return heard

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(2)
        self._thread.join(10)
        self._connection.close()

    def _read(self) -> None:
        fields: dict[str, str] = {}
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            for raw in self.response:
                line = raw.decode().rstrip("\n")
                if not line and "data" in fields:
                    data = json.loads(fields["data"])
                    now_s = time.monotonic()
                    self.events.append(Heard(fields["event"], fields.get("id", ""), data, now_s))
                if not line:
                    fields = {}
                elif line.startswith(":"):
                    self.comments.append(line)
                else:
                    name, _, value = line.partition(": ")
                    fields[name] = value
        self.has_ended = True
