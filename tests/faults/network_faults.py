"""Network faults between Tributary's processes and Redis, injected by the proxies."""

from __future__ import annotations

import time

from faults.proxy import Proxy
from faults.rig import Rig
from tributary.store.scripts import SCRIPTS

_INJECT_TIMEOUT_S = 600.0
APPEND, COMMIT = SCRIPTS["append"], SCRIPTS["commit"]
_BLACKHOLES = {
    "both directions blackholed": ("to_server", "to_client"),
    "commands dropped": ("to_server",),
    "replies dropped": ("to_client",),
}
_OUTAGES = (
    ("reset", 1.0),
    *((kind, 1.0) for kind in _BLACKHOLES),
    ("reset", 10.0),
    ("both directions blackholed", 10.0),
)


def _proxies(rig: Rig) -> tuple[Proxy, Proxy]:
    return rig.ingest_proxy, rig.aggregator_proxy


def _wait_until_injected(rig: Rig, times: int) -> None:
    left = sum(proxy.pending_injections() for proxy in _proxies(rig))
    until_s = time.monotonic() + _INJECT_TIMEOUT_S + times
    while left:
        assert time.monotonic() < until_s, f"{left} of {times} faults were not injected"
        rig.pause(0.05)
        now = sum(proxy.pending_injections() for proxy in _proxies(rig))
        rig.on_progress(left - now)
        left = now


def drop_replies(rig: Rig, times: int) -> None:
    """Drop replies after the server has executed the command: half of append, half of commit."""
    hanging = min(4, times // 100)  # each costs its process a whole timeout
    for proxy, script, part in (
        (rig.ingest_proxy, APPEND, times - times // 2),
        (rig.aggregator_proxy, COMMIT, times // 2),
    ):
        proxy.inject("hang", script.sha, hanging // 2)
        proxy.inject("drop_reply", script.sha, part - hanging // 2)
    _wait_until_injected(rig, times)
    rig.wait_for_recovery()
    append, commit = (sum(proxy.conditions.injected.values()) for proxy in _proxies(rig))
    rig.notes.append(f"append {append}, commit {commit}")


def reset_connections(rig: Rig, times: int) -> None:
    """Reset a connection before a command is sent, or in the middle of its reply."""
    for proxy, script in ((rig.ingest_proxy, APPEND), (rig.aggregator_proxy, COMMIT)):
        proxy.inject("reset_before_send", script.sha, max(1, times // 4))
        proxy.inject("truncate_reply", script.sha, max(1, times // 4))
    _wait_until_injected(rig, times)
    rig.wait_for_recovery()


def half_open(rig: Rig, times: int) -> None:
    """Silence every connection without closing it; new ones work."""
    for _ in rig.repeat(times):
        began_s = time.monotonic()
        silenced = sum(proxy.half_open() for proxy in _proxies(rig))
        rig.wait_for_recovery(began_s)
        rig.notes.append(f"{silenced} connections")


def cut(rig: Rig, times: int) -> None:
    """Cut all processes off from Redis for a while, in one direction or both."""
    for number in rig.repeat(times):
        kind, seconds = _OUTAGES[number % len(_OUTAGES)]
        for proxy in _proxies(rig):
            proxy.cut() if kind == "reset" else proxy.blackhole(*_BLACKHOLES[kind])
        rig.pause(seconds)
        _heal(rig)
        rig.wait_for_recovery()
        rig.notes.append(f"{kind} {seconds:.0f} s")


def slow(rig: Rig, times: int) -> None:
    """Delay each direction by 200 ms ± 50, and 5 % of the chunks by 200 ms more, as for a resend."""
    for _ in rig.repeat(times):
        for proxy in _proxies(rig):
            proxy.conditions.delay_ms, proxy.conditions.stall = (200.0, 50.0), (0.05, 200.0)
        rig.wait_for_recovery()
        before, began_s = rig.load.ledger.acknowledged, time.monotonic()
        rig.pause(4)
        rate = (rig.load.ledger.acknowledged - before) / (time.monotonic() - began_s)
        rig.notes.append(f"{rate:.0f} readings/s while slow")
        _heal(rig)
        rig.wait_for_recovery()


def _heal(rig: Rig) -> None:
    for proxy in _proxies(rig):
        proxy.heal()
