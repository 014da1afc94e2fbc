"""The commands that run roles: one for each, and one for all HTTP roles on one port."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from tributary import failpoints, log
from tributary.cli import options, roles
from tributary.process.role import HttpRole
from tributary.settings import Settings
from tributary.store import redis_client


def command(name: str) -> click.Command:
    """The command that runs a role in the foreground."""
    role = roles.load(name)
    # The options of HTTP roles are also those of `up`, with their full names.
    names, prefix = (options.HTTP, "") if isinstance(role, HttpRole) else (role.options, f"{name}_")

    @click.command(name, help=role.description, epilog=f"Example: {role.example}")
    @options.add(*names, *options.COMMON, prefix=prefix)
    def run(**given: Any) -> None:
        settings = options.load(given)
        log.configure(settings, name)
        if isinstance(role, HttpRole):
            _serve(settings, [role])
            return
        failpoints.arm(settings.fail)
        role.run(redis_client.wait_and_prepare(settings))

    return run


@click.command("web", hidden=True)
@click.option("--listener-fd", type=int, required=True)
@options.add(*options.HTTP, *options.COMMON)
def web(listener_fd: int, **given: Any) -> None:
    """Serve all HTTP roles on a socket that `tributary up` has opened."""
    settings = options.load(given)
    log.configure(settings, "web")
    _serve(settings, [r for r in roles.load_all() if isinstance(r, HttpRole)], listener_fd)


def _serve(settings: Settings, some: Sequence[HttpRole], listener_fd: int | None = None) -> None:
    from tributary.process import http_server, server_socket

    if listener_fd is None:
        listener_fd = server_socket.listen(settings.host, settings.port).detach()
    http_server.serve(settings, some, listener_fd)
