"""Many new devices at once, and how long the readings of known devices take meanwhile."""

from __future__ import annotations

import http.client
import itertools
import json
import re
import threading
import time
from pathlib import Path
from typing import Any

from support.ledger import METRIC, Sent
from support.processes import Process
from support.senders import Style, Wire
from support.waiting import wait_until

from faults.rig import Rig, device_of_each_partition
from tributary.model.clock import utc_ms
from tributary.model.frame import Block, pack
from tributary.store import keys, scripts

_THOUSAND = 1_000
_DRAIN_TIMEOUT_S = 900.0
_POLL_S, _PAUSE_S = 0.005, 0.02
_PER_MINUTE_S = 60.0  # in which 100,000 devices join
_FLEET = 100_000
_PER_REQUEST = 250
_WIDE_METRICS = 64
_READINGS_PER_SERIES = 5
_PIPELINED = 1_000


class KnownDevices(threading.Thread):
    """Records readings of one device per partition, and measures the time until each is visible."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(daemon=True)
        self.longest_s = 0.0
        self._rig = rig
        style = Style((1,), 0.0, rig.options.is_keyed, timeout_s=5.0)
        self._wire = Wire(rig.url, rig.load.ledger, style)
        self._devices = device_of_each_partition("known", rig.settings.partitions)
        self._accepted: dict[int, tuple[int, float]] = {}  # partition → number, accepted at
        self._visible: set[str] = set()
        self._stopping = threading.Event()

    def become_known(self) -> None:
        """Start, and wait until each has been visible once; new series would have to be admitted."""
        self.start()
        wait_until(lambda: self._visible == set(self._devices), "the known devices", 60)
        self.longest_s = 0.0

    def run(self) -> None:
        """Record and poll until stopped (called by the thread)."""
        for number in itertools.count():
            for partition, device in enumerate(self._devices):
                if self._stopping.is_set():
                    return
                if partition not in self._accepted:
                    outcome = self._wire.send(Sent(device, number, number))
                    if outcome in {"ok", "dup"}:
                        self._accepted[partition] = number, time.monotonic()
                self._poll()
                self._stopping.wait(_PAUSE_S)

    def stop(self) -> None:
        """Stop recording, wait for the last readings, and note the longest delay."""
        self._stopping.set()
        self.join(60)
        wait_until(self._are_all_visible, "the last readings to be visible", _DRAIN_TIMEOUT_S)
        self._wire.close()
        self._rig.notes.append(f"longest delay of a known device {self.longest_s * 1000:.0f} ms")

    def _are_all_visible(self) -> bool:
        self._poll()
        return not self._accepted

    def _poll(self) -> None:
        client = self._rig.client
        for partition, (number, at_s) in list(self._accepted.items()):
            text: Any = client.hget(keys.latest(partition), self._devices[partition])
            if text and json.loads(text)[f"current_{METRIC}"] >= number:
                self.longest_s = max(self.longest_s, time.monotonic() - at_s)
                self._visible.add(self._devices[partition])
                del self._accepted[partition]


def join_fleet(rig: Rig, times: int) -> None:
    """Record `times` thousand new devices of three metrics, at 100,000 per minute."""
    metrics = {METRIC: 0.0, "temperature": 20.5, "humidity": 40.0}
    known = KnownDevices(rig)
    known.become_known()
    began_s = time.monotonic()
    for first in range(0, times * _THOUSAND, _PER_REQUEST):
        _post(rig, [f"fleet-{n}" for n in range(first, first + _PER_REQUEST)], metrics)
        due_s = began_s + (first + _PER_REQUEST) * _PER_MINUTE_S / _FLEET
        rig.pause(max(0.0, due_s - time.monotonic()))
        rig.on_progress(1 if (first + _PER_REQUEST) % _THOUSAND == 0 else 0)
    rig.notes.append(f"recorded in {time.monotonic() - began_s:.0f} s")
    _finish(rig, known)


def record_wide_batch(rig: Rig, times: int) -> None:
    """Record `times` thousand new devices of 64 metrics in one request."""
    metrics = {METRIC: 0.0} | {f"m{n:02}": 1.5 for n in range(_WIDE_METRICS - 1)}
    known = KnownDevices(rig)
    known.become_known()
    _post(rig, [f"wide-{n}" for n in range(times * _THOUSAND)], metrics)
    rig.on_progress(times)
    _finish(rig, known)


def start_on_backlog(rig: Rig, times: int) -> None:
    """Start aggregators on a backlog of `times` thousand entries, a fifth of them new series."""
    for aggregator in rig.aggregators:
        aggregator.kill()
    entries = times * _THOUSAND
    for first in range(0, entries, _PIPELINED):
        _append(rig, range(first, min(entries, first + _PIPELINED)), entries)
        rig.on_progress(1)
    began_s = time.monotonic()
    done = rig.status().applied
    for aggregator in list(rig.aggregators):
        rig.replace(aggregator)
    known = KnownDevices(rig)
    known.start()
    wait_until(lambda: rig.status().applied > done, "the first commit", _DRAIN_TIMEOUT_S)
    rig.notes.append(f"first commit after {time.monotonic() - began_s:.1f} s")
    _finish(rig, known)


def _finish(rig: Rig, known: KnownDevices) -> None:
    """Wait until everything recorded is applied; note the time and the peak memory."""
    began_s = time.monotonic()
    accepted = rig.status().accepted
    wait_until(
        lambda: rig.status().applied >= accepted, "the fleet to be applied", _DRAIN_TIMEOUT_S
    )
    rig.notes.append(f"applied {time.monotonic() - began_s:.1f} s later")
    known.stop()
    peak_mib = max(map(_peak_mib, rig.aggregators))
    rig.notes.append(f"peak memory of an aggregator {peak_mib} MiB")


def _post(rig: Rig, devices: list[str], metrics: dict[str, float]) -> None:
    """Record one reading of each device in one request, with a ledger line for each."""
    ledger = rig.load.ledger
    sent = [Sent(device, 0, 0) for device in devices]
    requests = [ledger.intend(each) for each in sent]
    body = json.dumps([{"device": device, **metrics} for device in devices])
    connection = http.client.HTTPConnection(rig.url.removeprefix("http://"), timeout=60)
    try:
        connection.request("POST", "/record", body)
        response = connection.getresponse()
        response.read()
        ledger.responses[str(response.status)] += 1
        outcome = "ok" if response.status == http.client.OK else "maybe"
        is_refused = http.client.OK < response.status < http.client.INTERNAL_SERVER_ERROR
        assert not is_refused, f"refused with {response.status}"
    except (OSError, http.client.HTTPException):
        outcome = "maybe"
    finally:
        connection.close()
    for request, each in zip(requests, sent, strict=True):
        ledger.settle(request, each, outcome)


def _append(rig: Rig, numbers: range, entries: int) -> None:
    """Append entries as ingest does, but directly: a million requests would take too long."""
    ledger, partitions = rig.load.ledger, rig.settings.partitions
    pipeline = rig.client.pipeline(transaction=False)
    intended: list[tuple[int, Sent]] = []
    now_ms = utc_ms()
    for number in numbers:
        turn, device = divmod(number, max(1, entries // _READINGS_PER_SERIES))
        sent = Sent(f"late-{device}", turn, turn)
        intended.append((ledger.intend(sent), sent))
        partition = keys.partition_of(sent.device, partitions)
        packed = pack([Block(sent.device, now_ms, {METRIC: float(turn)})])
        command = scripts.append([(partition, 1, packed)], max_entries="10000000", unread_max="0")
        pipeline.execute_command(*scripts.with_source(command))  # type: ignore[no-untyped-call]
    pipeline.execute()
    for request, sent in intended:
        ledger.settle(request, sent, "ok")


def _peak_mib(process: Process) -> int:
    try:
        text = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) >> 10 if found else 0
