"""Alerts as they are stored: the states of a series, and the transitions between states. Pure."""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

import msgspec

State = Literal["ok", "pending", "firing"]
STATES: tuple[State, ...] = ("ok", "pending", "firing")


LOGGED_MAX = 10_000  # transitions that a partition keeps


class AlertState(msgspec.Struct, array_like=True, frozen=True):
    """The state of a rule for a series, other than ok."""

    state: State
    since_ms: int  # event time of the reading with which it began; of silence, when it became stale
    value: float  # of that reading; of `rate_above` the rate per second
    severity: str


class Transition(msgspec.Struct, frozen=True):
    """The change of a rule for one series from one state to another.

    The device is the first field: `commit` finds the transitions of a forgotten device by it.
    """

    device: str
    metric: str
    rule: str
    severity: str
    state: State
    was: State
    since_ms: int
    value: float
    id: str


class Numbered(NamedTuple):
    """A transition, and its number among those of its partition, from 1."""

    number: int
    transition: Transition


encode = msgspec.json.Encoder().encode
_states = msgspec.json.Decoder(dict[str, AlertState]).decode
_transition = msgspec.json.Decoder(Transition).decode


def parse_states(packed: bytes | None) -> dict[str, AlertState]:
    """The states of a series by rule, as the hash `alerts` has them; ok ones are absent."""
    return {} if packed is None else _states(packed)


def parse_transition(packed: bytes) -> Transition:
    """A transition as the sorted set `transitions` has it."""
    return _transition(packed)


def transition_id(device: str, metric: str, rule: str, state: str, since_ms: int) -> str:
    """The id of a transition, the same whenever it is computed from the same readings.

    No two transitions of a series and rule enter the same state with the same event time, because
    a reading is evaluated only if it is later than all before it. Numbers of a stream do not have
    this property: after a failover they are issued again, for others.
    """
    text = f"{device}|{metric}|{rule}|{state}|{since_ms}"
    return f"msg_{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}"
