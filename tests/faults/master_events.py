"""What a change of the master loses, and for how long nothing is accepted, by its cause.

Each run starts the servers, ingest and aggregators, and records readings of many devices. Every
few seconds the same event happens: with Sentinel the master is killed, paused, cut off from the
others, or replaced by `SENTINEL FAILOVER`, before which (planned) its writes are paused; in a
cluster see `cluster_events.py`. In the end the ledger is compared
with the data.
"""

from __future__ import annotations

import contextlib
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import redis
from support.sentinels import NAME, Announcements, Node, Sentinels
from support.waiting import wait_until

from faults.cluster_events import ClusterSite
from faults.events import OF_CLUSTERS, Event, Options, Site, Times, pause
from faults.failover_load import CONFIG, PARTITIONS, TIMEOUT_S, Load, violations
from tributary.model.clock import utc_ms
from tributary.store import keys

_PAUSE_WRITES_MS = 5000  # longer than a failover takes


class Outcome(NamedTuple):
    """The result of one run; in readings unless a unit is named."""

    acknowledged: int
    lost: int  # acknowledged, but not stored or not counted
    reported_lost: int  # by `tributary status`
    duplicated: int  # stored or counted twice
    changed_ms: list[int]  # of each event: until the announcement, or the end of the move
    unavailable_ms: list[int]  # the longest time without an accepted reading that it affects
    followed_ms: list[int]  # from the announcement until the new master has another reading
    began_ms: list[int]  # since the epoch, for the logs
    responses: dict[str, int]  # attempts by status, or by exception
    violations: list[str]  # of the guarantee of the level


class SentinelSite:
    """A master, two replicas and three sentinels."""

    def __init__(self, folder: Path, options: Options, chance: random.Random) -> None:
        config = CONFIG[options.level] | {"min-replicas-to-write": str(options.min_replicas)}
        down_after_ms = options.down_after_ms
        self._servers = Sentinels(folder, config=config, down_after_ms=down_after_ms)
        self._random = chance
        self.url = self._servers.url
        self.close = self._servers.close

    def strike(self, event: Event, rest: Callable[[], None]) -> Times:
        """Cause the event, wait for the failover, and bring the old master back."""
        old, sentinel = self._servers.master, self._random.choice(self._servers.sentinels)
        with contextlib.closing(Announcements(sentinel)) as announced:
            began_ms = utc_ms()
            getattr(self, f"_{event.replace('-', '_')}")(old)
            wait_until(announced.poll, "the announcement of another master", TIMEOUT_S)
            changed_ms = utc_ms()
        new = self._servers.named_by(sentinel)
        before = _entries(new)
        wait_until(lambda: _entries(new) > before, "readings on the new master", TIMEOUT_S)
        followed_ms = utc_ms() - changed_ms
        self._servers.wait_for_another(old)
        rest()
        if event == "killed":
            old.start()
        elif event == "paused":
            old.process.signal(signal.SIGCONT)
        elif event == "cut-off":
            old.heal()
        self._servers.wait_until_whole()
        return Times(began_ms, changed_ms, followed_ms, range(PARTITIONS))

    def _killed(self, master: Node) -> None:
        master.process.kill()

    def _paused(self, master: Node) -> None:
        master.process.signal(signal.SIGSTOP)

    def _cut_off(self, master: Node) -> None:
        master.cut_off()

    def _planned(self, master: Node) -> None:
        master.client.client_pause(_PAUSE_WRITES_MS, all=False)
        self._promoted(master)

    def _promoted(self, _master: Node) -> None:
        sentinel = self._random.choice(self._servers.sentinels)
        wait_until(lambda: _starts_failover(sentinel), "a sentinel to begin a failover", TIMEOUT_S)


def run_events(folder: Path, options: Options) -> Outcome:
    """Run the events of one kind at one level."""
    chance = random.Random(options.seed)
    kind = ClusterSite if options.event in OF_CLUSTERS else SentinelSite
    with contextlib.ExitStack() as cleanup:
        site: Site = kind(folder / "servers", options, chance)
        cleanup.callback(site.close)
        load = Load(
            folder, site.url, options.level, options.seed, wait_replicas=options.wait_replicas
        )
        cleanup.callback(load.close)
        times = []
        for _ in range(options.rounds):
            pause(options.load_s * (0.5 + chance.random() / 2))
            times.append(site.strike(options.event, lambda: pause(options.load_s)))
        verdict = load.finish()
        reported_lost = load.status().lost
        gaps_ms = [_gap_ms(load, each, times[n + 1 : n + 2]) for n, each in enumerate(times)]
    return Outcome(
        verdict.acknowledged,
        verdict.lost + verdict.uncounted,
        reported_lost,
        verdict.duplicated + verdict.overcounted,
        [each.changed_ms - each.began_ms for each in times],
        gaps_ms,
        [each.followed_ms for each in times],
        [each.began_ms for each in times],
        dict(load.ledger.responses),
        violations(options.level, verdict),
    )


def _gap_ms(load: Load, event: Times, following: list[Times]) -> int:
    """The longest time without an accepted reading of a partition, until the next event."""
    end_ms = following[0].began_ms if following else utc_ms()
    accepted_ms: dict[int, list[int]] = {partition: [] for partition in event.partitions}
    for at_ms, device in load.ledger.accepted():
        partition = keys.partition_of(device, PARTITIONS)
        if event.began_ms <= at_ms <= end_ms and partition in accepted_ms:
            accepted_ms[partition].append(at_ms)
    return max(_longest_ms(event.began_ms, sorted(each)) for each in accepted_ms.values())


def _longest_ms(began_ms: int, accepted_ms: list[int]) -> int:
    pairs = zip([began_ms, *accepted_ms], accepted_ms, strict=False)
    return max(until_ms - since_ms for since_ms, until_ms in pairs)


def _entries(node: Node) -> int:
    """How many entries have ever been appended to a server; 0 while it does not reply."""
    try:
        return sum(int(node.client.hget(keys.meta(p), "entries") or 0) for p in range(PARTITIONS))
    except redis.RedisError:
        return 0


def _starts_failover(sentinel: Node) -> bool:
    try:
        return bool(sentinel.client.sentinel_failover(NAME))
    except redis.ResponseError:  # one is in progress, or no replica is suitable yet
        return False
