"""The list of roles: a line here is all that the command line needs to run another one."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
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


def make_importable() -> None:
    """Put the folder of the packages of roles first on the path of this process.

    In a wheel they are in `tributary/roles`, where no package of that name in another distribution
    can replace them; in a source tree they are beside `tributary`.
    """
    package = Path(__file__).parents[1]
    installed = package / "roles"
    folder = str(installed if installed.is_dir() else package.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)


def load(name: str) -> Role:
    """The record of a role."""
    role: Role = importlib.import_module(ROLES[name].module).ROLE
    return role


def load_all() -> list[Role]:
    """The records of all roles."""
    return [load(name) for name in ROLES]
