"""What a commit writes of alerts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from aggregator.table import Table
from tributary.model import alert
from tributary.store import keys


class AlertWrites(NamedTuple):
    """The lists of `scripts.commit`; those of states and due series alternate two parts."""

    states: list[str | bytes]  # series and states
    ok: list[str]  # series of which every alert is ok
    due: list[str | bytes]  # ms and series: when it becomes stale unless it records
    not_due: list[str]  # series that cannot become stale, or are
    transitions: list[bytes]
    rules: str | None = None  # the digest of the rules by which all of a partition is stored

    @property
    def lists(self) -> Sequence[Sequence[str | bytes]]:
        """The argument `alerts` of `scripts.commit`."""
        return self.states, self.ok, self.due, self.not_due, self.transitions

    def meta(self) -> list[str]:
        """Fields and values of `meta`."""
        return [] if self.rules is None else ["alert_rules", self.rules]


NO_ALERTS = AlertWrites([], [], [], [], [])


def of(table: Table, partition: int, now_ms: int) -> AlertWrites:
    """What has changed of the alerts of a partition since the last commit."""
    alerts = table.alerts
    changes, watched = alerts.take_changes(partition, now_ms), alerts.take_watched(partition)
    if not changes and not watched:
        return NO_ALERTS
    found = AlertWrites([], [], [], [], [])
    for row in dict.fromkeys(change.row for change in changes):
        packed = alerts.packed(row)
        if packed is None:
            found.ok.append(_name(table, row))
        else:
            found.states.extend((_name(table, row), packed))
    for change in changes:
        device, _ = table.series[change.row]
        found.transitions.append(alert.encode(change.transition(device)))
    for row in sorted(watched):
        at_ms = alerts.stale_at_ms(row, int(table.state["times_ms"][row, -1]))
        if at_ms is None:
            found.not_due.append(_name(table, row))
        else:
            found.due.extend((str(at_ms), _name(table, row)))
    return found


def _name(table: Table, row: int) -> str:
    return keys.series(*table.series[row])
