"""The list of roles: a line here is all that the command line needs to run another one."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tributary.process.role import Role


class Entry(NamedTuple):
    """Where the record of a role is."""

    module: str  # exports ROLE; imported when it is needed
    summary: str  # in the list of commands


ROLES = {
    "ingest": Entry("ingest.role", "run the HTTP role that records readings"),
    "api": Entry("api.role", "run the HTTP role that serves /collect and the read API"),
    "aggregator": Entry("aggregator.role", "run the worker that keeps current values and averages"),
    "jobs": Entry("jobs.role", "run the schedule and the queue of jobs; list, retry and drop jobs"),
    "mqtt": Entry("bridge.role", "bridge an MQTT broker: its messages become readings"),
}


def load(name: str) -> Role:
    """The record of a role."""
    role: Role = importlib.import_module(ROLES[name].module).ROLE
    return role


def load_all() -> list[Role]:
    """The records of all roles."""
    return [load(name) for name in ROLES]
