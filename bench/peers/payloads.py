"""Request bodies: the same readings in the format of each peer."""

from __future__ import annotations

import json
import time

from bench.http_request import NUMBER

DEVICE = "car-7"
METRIC = "engine_temperature"
READINGS = 1_000
DEVICES = 100  # of a batch
FLEET_DEVICES = 20_000
ONE = json.dumps({"device": DEVICE, METRIC: 92.3}, separators=(",", ":")).encode()
FLEET = ONE.replace(DEVICE.encode(), b"car-" + NUMBER)  # a device per request
ONE_LINE = b"engine,device=car-7 temperature=92.3"
FLEET_LINE = ONE_LINE.replace(DEVICE.encode(), b"car-" + NUMBER)

_MEASUREMENTS = [
    b"cpu,cpu=cpu-total",
    *(b"disk,device=sd%b,fstype=ext4,path=/" % name for name in (b"a", b"b", b"c")),
    b"diskio,name=sda",
    b"mem",
    b"net,interface=eth0",
    b"processes",
    b"swap",
    b"system",
]
_NS_PER_MS = 1_000_000
_INTERVAL_MS = 10


class Batch:
    """1,000 readings of the last ten seconds, of 100 devices or of one, with or without times."""

    def __init__(self, *, timed: bool) -> None:
        self._timed = timed
        first_ms = time.time_ns() // _NS_PER_MS - READINGS * _INTERVAL_MS
        self._times_ms = [first_ms + number * _INTERVAL_MS for number in range(READINGS)]
        self._values = [90 + number % 7 + 0.31 for number in range(READINGS)]

    def array(self) -> bytes:
        """A JSON array; the devices alternate."""
        readings = [
            {"device": f"car-{number % DEVICES}", **self._time(time_ms), METRIC: value}
            for number, (time_ms, value) in enumerate(self._rows())
        ]
        return json.dumps(readings, separators=(",", ":")).encode()

    def columns(self) -> bytes:
        """JSON columns: one device and an array of values."""
        times = {"recorded_at": self._times_ms} if self._timed else {}
        whole = {"device": DEVICE, **times, METRIC: self._values}
        return json.dumps(whole, separators=(",", ":")).encode()

    def lines(self, devices: int) -> bytes:
        """Line protocol; the devices alternate."""
        return b"\n".join(
            b"engine,device=car-%d temperature=%.2f%b"
            % (number % devices, value, self._timestamp(time_ms))
            for number, (time_ms, value) in enumerate(self._rows())
        )

    def of_lines(self, case: str) -> bytes | None:
        """The lines of a case, or None if it has none."""
        if case == "lines":
            return self.lines(DEVICES)
        return self.mixed_lines() if case == "mixed lines" else None

    def mixed_lines(self) -> bytes:
        """Line protocol as of a fleet of agents: ten measurements in turn, each with its own tags."""
        return b"\n".join(
            b"%b,host=pi-%d usage=%.2f%b"
            % (_MEASUREMENTS[number % 10], number // 10, value, self._timestamp(time_ms))
            for number, (time_ms, value) in enumerate(self._rows())
        )

    def _rows(self) -> list[tuple[int, float]]:
        return list(zip(self._times_ms, self._values, strict=True))

    def _time(self, time_ms: int) -> dict[str, int]:
        return {"recorded_at": time_ms} if self._timed else {}

    def _timestamp(self, time_ms: int) -> bytes:
        return b" %d" % (time_ms * _NS_PER_MS) if self._timed else b""
