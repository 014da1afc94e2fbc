"""More new devices at once than there ever were, and what those that were there notice of it."""

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

from faults.rig import Stand
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


class Known(threading.Thread):
    """A device of each partition that records all along, and how long until it is shown."""

    def __init__(self, stand: Stand) -> None:
        super().__init__(daemon=True)
        self.worst_s = 0.0
        self._stand = stand
        style = Style((1,), 0.0, stand.needs.is_keyed, timeout_s=5.0)
        self._wire = Wire(stand.url, stand.load.ledger, style)
        self._devices = _device_of_each(stand.settings.partitions)
        self._accepted: dict[int, tuple[int, float]] = {}  # partition → number, when
        self._is_over = threading.Event()

    def run(self) -> None:
        """Record and look, until stopped (called by the thread)."""
        for number in itertools.count():
            for partition, device in enumerate(self._devices):
                if self._is_over.is_set():
                    return
                if partition not in self._accepted:
                    outcome = self._wire.send(Sent(device, number, number))
                    if outcome in {"ok", "dup"}:
                        self._accepted[partition] = number, time.monotonic()
                self._look()
                self._is_over.wait(_PAUSE_S)

    def stop(self) -> None:
        """Record nothing more, and note the worst wait."""
        self._is_over.set()
        self.join(60)
        wait_until(self._is_all_shown, "the last readings to be shown", _DRAIN_TIMEOUT_S)
        self._wire.close()
        self._stand.notes.append(f"worst wait of a known device {self.worst_s * 1000:.0f} ms")

    def _is_all_shown(self) -> bool:
        self._look()
        return not self._accepted

    def _look(self) -> None:
        client = self._stand.client
        for partition, (number, at_s) in list(self._accepted.items()):
            text: Any = client.hget(keys.latest(partition), self._devices[partition])
            if text and json.loads(text)[f"current_{METRIC}"] >= number:
                self.worst_s = max(self.worst_s, time.monotonic() - at_s)
                del self._accepted[partition]


def join_fleet(stand: Stand, times: int) -> None:
    """So many thousand new devices, 100,000 of them in a minute, each with three metrics."""
    metrics = {METRIC: 0.0, "temperature": 20.5, "humidity": 40.0}
    known = Known(stand)
    known.start()
    began_s = time.monotonic()
    for first in range(0, times * _THOUSAND, _PER_REQUEST):
        _post(stand, [f"fleet-{n}" for n in range(first, first + _PER_REQUEST)], metrics)
        due_s = began_s + (first + _PER_REQUEST) * _PER_MINUTE_S / _FLEET
        stand.wait(max(0.0, due_s - time.monotonic()))
        stand.on_progress(1 if (first + _PER_REQUEST) % _THOUSAND == 0 else 0)
    stand.notes.append(f"recorded in {time.monotonic() - began_s:.0f} s")
    _finish(stand, known)


def record_wide_batch(stand: Stand, times: int) -> None:
    """One request of so many thousand new devices of 64 metrics."""
    metrics = {METRIC: 0.0} | {f"m{n:02}": 1.5 for n in range(_WIDE_METRICS - 1)}
    known = Known(stand)
    known.start()
    _post(stand, [f"wide-{n}" for n in range(times * _THOUSAND)], metrics)
    stand.on_progress(times)
    _finish(stand, known)


def start_on_backlog(stand: Stand, times: int) -> None:
    """So many thousand entries, a fifth of them new series, wait for aggregators that start."""
    for aggregator in stand.aggregators:
        aggregator.kill()
    entries = times * _THOUSAND
    for first in range(0, entries, _PIPELINED):
        _append(stand, range(first, min(entries, first + _PIPELINED)), entries)
        stand.on_progress(1)
    began_s = time.monotonic()
    done = stand.status().applied
    for aggregator in list(stand.aggregators):
        stand.replace(aggregator)
    known = Known(stand)
    known.start()
    wait_until(lambda: stand.status().applied > done, "the first commit", _DRAIN_TIMEOUT_S)
    stand.notes.append(f"first commit after {time.monotonic() - began_s:.1f} s")
    _finish(stand, known)


def _finish(stand: Stand, known: Known) -> None:
    """Let everything recorded so far be applied, and note how long it took at what memory."""
    began_s = time.monotonic()
    accepted = stand.status().accepted
    wait_until(
        lambda: stand.status().applied >= accepted, "the fleet to be applied", _DRAIN_TIMEOUT_S
    )
    stand.notes.append(f"applied {time.monotonic() - began_s:.1f} s later")
    known.stop()
    peak_mib = max(map(_peak_mib, stand.aggregators))
    stand.notes.append(f"an aggregator had at most {peak_mib} MiB")


def _post(stand: Stand, devices: list[str], metrics: dict[str, float]) -> None:
    """One request, one reading of each device; each is a line of the ledger."""
    ledger = stand.load.ledger
    sent = [Sent(device, 0, 0) for device in devices]
    requests = [ledger.intend(each) for each in sent]
    body = json.dumps([{"device": device, **metrics} for device in devices])
    wire = http.client.HTTPConnection(stand.url.removeprefix("http://"), timeout=60)
    try:
        wire.request("POST", "/record", body)
        answer = wire.getresponse()
        answer.read()
        ledger.answers[str(answer.status)] += 1
        is_ok = answer.status == http.client.OK
        is_refused = answer.status < http.client.INTERNAL_SERVER_ERROR
        outcome = "ok" if is_ok else "refused" if is_refused else "maybe"
        assert not (is_refused and not is_ok), f"refused with {answer.status}"
    except (OSError, http.client.HTTPException):
        outcome = "maybe"
    finally:
        wire.close()
    for request, each in zip(requests, sent, strict=True):
        ledger.settle(request, each, outcome)


def _append(stand: Stand, numbers: range, entries: int) -> None:
    """Entries as ingest appends them, straight to the server: a million requests take long."""
    ledger, partitions = stand.load.ledger, stand.settings.partitions
    pipeline = stand.client.pipeline(transaction=False)
    noted: list[tuple[int, Sent]] = []
    now_ms = utc_ms()
    for number in numbers:
        turn, device = divmod(number, max(1, entries // _READINGS_PER_SERIES))
        sent = Sent(f"late-{device}", turn, turn)
        noted.append((ledger.intend(sent), sent))
        partition = keys.partition_of(sent.device, partitions)
        packed = pack([Block(sent.device, now_ms, {METRIC: float(turn)})])
        command = scripts.append(
            partition, max_entries="10000000", unread_max="0", readings=1, frame=packed
        )
        pipeline.execute_command(*scripts.with_source(command))  # type: ignore[no-untyped-call]
    pipeline.execute()
    for request, sent in noted:
        ledger.settle(request, sent, "ok")


def _peak_mib(process: Process) -> int:
    try:
        text = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) >> 10 if found else 0


def _device_of_each(partitions: int) -> list[str]:
    found: dict[int, str] = {}
    for number in itertools.count():
        if len(found) == partitions:
            break
        found.setdefault(keys.partition_of(f"known-{number}", partitions), f"known-{number}")
    return [found[partition] for partition in range(partitions)]
