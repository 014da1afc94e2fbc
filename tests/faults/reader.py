"""Collects through an HTTP address as an app does, and notes what is wrong with the responses."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from urllib.parse import urlsplit

from support.pipeline import DEVICES

_PAUSE_S = 0.01


class Reader(threading.Thread):
    """Collects the devices of the load, PREFIX-0 to PREFIX-11, in turn over one connection."""

    def __init__(self, url: str, prefix: str = "car") -> None:
        super().__init__(daemon=True)
        self._prefix = prefix
        self.statuses: Counter[str] = Counter()
        self.backwards = 0
        self.longest_s = 0.0
        self.ending = threading.Event()
        self._address = urlsplit(url).netloc
        self._newest: dict[str, float] = {}

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        number = 0
        while not self.ending.wait(_PAUSE_S):
            number += 1
            began_s = time.monotonic()
            try:
                connection.request("GET", f"/collect?device={self._prefix}-{number % DEVICES}")
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self.statuses[type(error).__name__] += 1
                continue
            self.longest_s = max(self.longest_s, time.monotonic() - began_s)
            self.statuses[str(response.status)] += 1
            if response.status == http.HTTPStatus.OK:
                self._compare(json.loads(body))
        connection.close()

    def _compare(self, found: dict[str, float]) -> None:
        device, value = str(found["device"]), found["current_seq"]
        self.backwards += value < self._newest.get(device, value)
        self._newest[device] = value
