"""The roles and their commands; `ROLES` is the list of them."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import click

from tributary import failpoints, log
from tributary.cli import options
from tributary.process.role import HttpRole, Role, WorkerRole
from tributary.settings import Settings
from tributary.store import redis_client


class Entry(NamedTuple):
    """Where the record of a role is."""

    module: str  # exports ROLE; imported when it is needed
    summary: str  # in the list of commands


ROLES = {
    "ingest": Entry("ingest.role", "the HTTP role that records readings"),
    "api": Entry("api.role", "the HTTP role that serves /collect and the read API"),
    "aggregator": Entry("aggregator.role", "the worker that keeps current values and averages"),
}


def load() -> list[Role]:
    """The records of all roles."""
    return [_load(name) for name in ROLES]


def command(name: str) -> click.Command:
    """The command that runs a role in the foreground."""
    role = _load(name)
    names = options.HTTP if isinstance(role, HttpRole) else role.options

    @click.command(name, help=role.description, epilog=f"Example: {role.example}")
    @options.add(*names, *options.COMMON)
    def run(**given: Any) -> None:
        settings = options.load(given)
        log.configure(settings, name)
        _run(role, settings)

    return run


@click.command("web", hidden=True)
@click.option("--listener-fd", type=int, required=True)
@options.add(*options.HTTP, *options.COMMON)
def web(listener_fd: int, **given: Any) -> None:
    """Serve all HTTP roles on a socket that `tributary up` has opened."""
    from tributary.process import http_server

    settings = options.load(given)
    log.configure(settings, "web")
    http_server.serve(settings, [r for r in load() if isinstance(r, HttpRole)], listener_fd)


def _load(name: str) -> Role:
    role: Role = importlib.import_module(ROLES[name].module).ROLE
    return role


def _run(role: Role, settings: Settings) -> None:
    if isinstance(role, WorkerRole):
        failpoints.arm(settings.fail)
        redis_client.wait_and_prepare(settings)
        role.run(settings)
        return
    from tributary.process import http_server, listener

    listening = listener.listen(settings.host, settings.port)
    http_server.serve(settings, [role], listening.detach())
