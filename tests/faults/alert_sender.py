"""A sender of values that cross limits, and the transitions that follow from what it has sent."""

from __future__ import annotations

import http.client
import random
import threading

from support.processes import request

from tributary.model.clock import utc_ms

_DEVICES = 4
_CLEAR, _LIMIT, _WARM, _FOR_MS = 90.0, 100.0, 80.0, 3_000
RULES = f"""
[speed.alerts.high]
above = {_LIMIT}
clear_below = {_CLEAR}
severity = "critical"
[speed.alerts.warm]
above = {_WARM}
for = "{_FOR_MS // 1000}s"
"""
Step = tuple[str, str, str, str, int, float]  # device, rule, state, state before, time, value


class Expected:
    """The rules for one device, one reading after the other."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._high = self._warm = "ok"
        self._since_ms = 0
        self.transitions: list[Step] = []

    def see(self, time_ms: int, value: float) -> None:
        """Record a reading."""
        if self._high == "ok" and value > _LIMIT:
            self._high = self._enter("high", "firing", "ok", time_ms, value)
        elif self._high == "firing" and value < _CLEAR:
            self._high = self._enter("high", "ok", "firing", time_ms, value)
        if value <= _WARM:
            if self._warm != "ok":
                self._warm = self._enter("warm", "ok", self._warm, time_ms, value)
        elif self._warm == "ok":
            self._warm = self._enter("warm", "pending", "ok", time_ms, value)
            self._since_ms = time_ms
        elif self._warm == "pending" and time_ms - self._since_ms >= _FOR_MS:
            self._warm = self._enter("warm", "firing", "pending", time_ms, value)

    def _enter(self, rule: str, state: str, was: str, time_ms: int, value: float) -> str:
        self.transitions.append((self._device, rule, state, was, time_ms, value))
        return state


class AlertSender(threading.Thread):
    """Records some devices, each reading until it is acknowledged."""

    def __init__(self, url: str, number: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.url = url
        self._random = random.Random(f"{seed}-{number}")
        self._name = f"s{seed}-{number}"
        self.expected = [Expected(f"car-{number}-{n}") for n in range(_DEVICES)]
        self.readings = 0
        self.finishing = threading.Event()

    def run(self) -> None:
        """Send until `finishing` is set."""
        time_ms = utc_ms() - 3_600_000
        while not self.finishing.is_set():
            time_ms += self._random.randrange(1, 800)
            number = self._random.randrange(_DEVICES)
            device = f"car-{self._name.rpartition('-')[2]}-{number}"
            value = self._random.choice((50.0, 75.0, 85.0, 95.0, 105.0, 120.0))
            body = {"device": device, "recorded_at": time_ms, "speed": value}
            while not self._send(body, f"{self._name}-{self.readings}"):
                self.finishing.wait(0.05)
            self.expected[number].see(time_ms, value)
            self.readings += 1
            self.finishing.wait(0.03)

    def _send(self, body: dict[str, object], key: str) -> bool:
        try:
            status_, answer = request(self.url, "POST", "/record", body, {"Idempotency-Key": key})
        except (OSError, http.client.HTTPException):
            return False
        assert status_ in (200, 503), answer
        return status_ == 200
