"""`tributary up`: all roles and an embedded server."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import click
import msgspec

from tributary import log
from tributary.auth import guard
from tributary.cli import interrupts, options, roles
from tributary.errors import Misconfigured, TributaryError
from tributary.process import probe, server_socket
from tributary.process.role import WorkerRole
from tributary.settings import PREFIX, Settings
from tributary.standalone import data_dir, first_token, private
from tributary.standalone.embedded_server import EmbeddedServer
from tributary.standalone.supervisor import Spec, Supervisor
from tributary.store import redis_client, redis_url

_READY_TIMEOUT_S = 60.0
_PROBE_TIMEOUT_S = 2.0
_WATCH_S = 0.05
_SERVER_POLL_S = 0.01
_SERVER = "server"
_EXIT_MISCONFIGURED = 2  # of every command


@click.command("up", epilog="Example: tributary up --port 8000 --aggregators 2 --data-dir ./data")
@options.add(*options.HTTP, "aggregators", *options.EMBEDDED, *options.COMMON)
def command(**given: Any) -> None:
    """Run all roles and an embedded server until Ctrl-C or SIGTERM.

    Prints the URL when everything is ready. A process that exits is restarted.
    """
    interrupts.catch()
    settings = options.load(given)
    log.configure(settings, "up")
    with contextlib.suppress(KeyboardInterrupt):
        supervisor = Supervisor()
        try:
            _run(supervisor, settings, is_embedded=not options.is_named(given, "redis_url"))
        finally:
            interrupts.restore()  # a second Ctrl-C terminates
            supervisor.stop()


def _run(supervisor: Supervisor, settings: Settings, *, is_embedded: bool) -> None:
    listening = server_socket.listen(settings.host, settings.port)
    port = listening.getsockname()[1]
    deadline_s = time.monotonic() + _READY_TIMEOUT_S
    if is_embedded:
        server = _start_server(supervisor, settings, deadline_s)  # it holds the lock
        own = {"redis_url": server.url, "data_dir": str(server.directory)}
        settings = msgspec.structs.replace(settings, **own)
    url = first_token.url(settings.host, port)
    if not (settings.dashboard_url or guard.is_loopback(urlsplit(url).hostname or "")):
        settings = msgspec.structs.replace(settings, dashboard_url=url)
    settings = _prepare(settings, url, is_embedded=is_embedded)
    for spec in _specs(settings, listening.detach()):
        supervisor.start(spec)
    _wait_until_ready(supervisor, settings, port, deadline_s)
    click.echo(f"tributary: ready on {url}")
    while True:
        supervisor.watch()
        time.sleep(_WATCH_S)


def _start_server(supervisor: Supervisor, settings: Settings, deadline_s: float) -> EmbeddedServer:
    """Start the embedded server and wait until it has loaded its data."""
    if settings.durability == "replicated":
        raise Misconfigured(
            "durability='replicated' needs a server with a replica, and the embedded one has none; "
            "name a server with --redis-url, or use --durability fsync"
        )
    server = EmbeddedServer.of(settings)
    data_dir.register(server.directory)
    lock = server.lock.fileno()
    spec = Spec(_SERVER, server.command(), rank=2, pass_fds=(lock,), umask=private.UMASK)
    supervisor.start(spec)
    while not server.is_ready():
        supervisor.watch()  # restarts it if it was killed
        status = supervisor.exit_status(_SERVER)
        if status is not None and status > 0:
            raise Misconfigured(
                f"the embedded server exited with status {status}; {server.log_tail()}"
            )
        if time.monotonic() > deadline_s:
            raise Misconfigured(f"the embedded server does not respond; {server.log_tail()}")
        time.sleep(_SERVER_POLL_S)
    return server


def _prepare(settings: Settings, url: str, *, is_embedded: bool) -> Settings:
    client = redis_client.connect(settings)
    try:
        settings = redis_client.prepare(client, settings)
        if sys.stdout.isatty() and guard.is_exposed(settings, client):
            first_token.create(client, url, settings.dashboard_url)
        remedy = first_token.command(settings, is_embedded=is_embedded)
        guard.check_exposure(settings, client, remedy)
    except Misconfigured:
        raise
    except TributaryError as error:
        address = redis_url.redacted(settings.redis_url)
        raise Misconfigured(f"redis_url={address}: {error}") from None
    else:
        return settings
    finally:
        client.close()


def _specs(settings: Settings, listener_fd: int) -> list[Spec]:
    """One process for the routes of all HTTP roles, and the processes of the worker roles."""
    values = msgspec.structs.asdict(settings)
    environ = {PREFIX + name.upper(): str(value) for name, value in values.items()}
    # -P: a directory named `api` where `up` was typed must not shadow the package.
    python = [sys.executable, "-P", "-m", "tributary"]
    web = [*python, "web", "--listener-fd", str(listener_fd)]
    workers = [
        Spec(f"{role.name}-{number}", [*python, role.name], 1, environ)
        for role in _workers()
        for number in range(role.processes(settings))
    ]
    return [*workers, Spec("web", web, 0, environ, pass_fds=(listener_fd,))]


def _wait_until_ready(
    supervisor: Supervisor, settings: Settings, port: int, deadline_s: float
) -> None:
    client = redis_client.connect(settings)
    workers = _workers()
    while time.monotonic() < deadline_s:
        supervisor.watch()
        # Restarting a misconfigured child would not help.
        if misconfigured := supervisor.exited_with(_EXIT_MISCONFIGURED):
            raise Misconfigured(f"{misconfigured[0]} cannot start; the lines above say why")
        is_serving = probe.why_not_ready(settings.host, port, _PROBE_TIMEOUT_S) is None
        if is_serving and all(role.is_ready(client, settings) for role in workers):
            client.close()
            return
        time.sleep(_WATCH_S)
    raise Misconfigured(
        f"not ready after {_READY_TIMEOUT_S:.0f} s; the lines above say what is missing"
    )


def _workers() -> list[WorkerRole]:
    return [role for role in roles.load_all() if isinstance(role, WorkerRole)]
