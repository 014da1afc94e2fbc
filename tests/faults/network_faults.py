"""Faults of the network between our processes and Redis, all by the proxies."""

from __future__ import annotations

import time

from faults.proxy import Proxy
from faults.rig import Stand
from tributary.store.scripts import APPEND, COMMIT

_HITS_PATIENCE_S = 600.0
_OUTAGES = (
    ("cut", 1.0),
    ("both ways dark", 1.0),
    ("commands vanish", 1.0),
    ("replies vanish", 1.0),
    ("cut", 10.0),
    ("both ways dark", 10.0),
)
_DARK = {"both ways dark": ("up", "down"), "commands vanish": ("up",), "replies vanish": ("down",)}


def _proxies(stand: Stand) -> tuple[Proxy, Proxy]:
    return stand.to_ingest, stand.to_aggregators


def _hit_until_done(stand: Stand, times: int) -> None:
    """Wait until every hit has found its call."""
    left = sum(proxy.pending_hits() for proxy in _proxies(stand))
    until_s = time.monotonic() + _HITS_PATIENCE_S + times
    while left:
        assert time.monotonic() < until_s, f"{left} of {times} hits found no call"
        stand.wait(0.05)
        now = sum(proxy.pending_hits() for proxy in _proxies(stand))
        stand.on_progress(left - now)
        left = now


def swallow_replies(stand: Stand, times: int) -> None:
    """Swallow replies after the server has executed: half of append, half of commit."""
    hanging = min(4, times // 100)  # each costs its process a whole timeout
    for proxy, script, part in (
        (stand.to_ingest, APPEND, times - times // 2),
        (stand.to_aggregators, COMMIT, times // 2),
    ):
        proxy.hit("hang", script.sha, hanging // 2)
        proxy.hit("swallow", script.sha, part - hanging // 2)
    _hit_until_done(stand, times)
    stand.recovers()
    done = [proxy.weather.done for proxy in _proxies(stand)]
    stand.notes.append(f"append {sum(done[0].values())}, commit {sum(done[1].values())}")


def reset_connections(stand: Stand, times: int) -> None:
    """Reset a connection before a command is sent, or amid its reply."""
    for proxy, script in ((stand.to_ingest, APPEND), (stand.to_aggregators, COMMIT)):
        proxy.hit("unsent", script.sha, max(1, times // 4))
        proxy.hit("torn", script.sha, max(1, times // 4))
    _hit_until_done(stand, times)
    stand.recovers()


def half_open(stand: Stand, times: int) -> None:
    """Let every connection fall silent without a word; new ones work."""
    for _ in range(times):
        began_s = time.monotonic()
        silenced = sum(proxy.half_open() for proxy in _proxies(stand))
        stand.recovers(began_s)
        stand.notes.append(f"{silenced} connections")
        stand.on_progress(1)


def cut(stand: Stand, times: int) -> None:
    """Cut our processes off from Redis for a while, in one direction or both."""
    for number in range(times):
        kind, seconds = _OUTAGES[number % len(_OUTAGES)]
        for proxy in _proxies(stand):
            proxy.cut() if kind == "cut" else proxy.darken(*_DARK[kind])
        stand.wait(seconds)
        for proxy in _proxies(stand):
            proxy.mend()
        stand.recovers()
        stand.notes.append(f"{kind} {seconds:.0f} s")
        stand.on_progress(1)


def slow(stand: Stand, times: int) -> None:
    """200 ms ± 50 each way, and 5 % of the chunks 200 ms more, as a lost packet would take."""
    for _ in range(times):
        for proxy in _proxies(stand):
            proxy.weather.delay_ms, proxy.weather.stall = (200.0, 50.0), (0.05, 200.0)
        stand.recovers()
        before, began_s = stand.load.ledger.acknowledged, time.monotonic()
        stand.wait(4)
        rate = (stand.load.ledger.acknowledged - before) / (time.monotonic() - began_s)
        stand.notes.append(f"{rate:.0f} readings/s meanwhile")
        for proxy in _proxies(stand):
            proxy.mend()
        stand.recovers()
        stand.on_progress(1)
