"""`tributary up`: every role and an embedded server, from one command."""

from __future__ import annotations

import http.client
import os
import sys
import time
from typing import Any

import click
import msgspec

from tributary import log, serve
from tributary.auth import guard
from tributary.cli import interrupts, options
from tributary.errors import Misconfigured, TributaryError
from tributary.operate import status
from tributary.settings import PREFIX, Settings
from tributary.standalone import first_token, private
from tributary.standalone.embedded_server import EmbeddedServer
from tributary.standalone.supervisor import Spec, Supervisor
from tributary.store import redis_client, redis_url

_READY_TIMEOUT_S = 60.0
_WATCH_S = 0.05
_SERVER_POLL_S = 0.01
_SERVER = "server"
_EXIT_MISCONFIGURED = 2  # of every command


@click.command("up", epilog="Example: tributary up --port 8000 --aggregators 2 --data-dir ./data")
@options.of_role("up")
def command(**given: Any) -> None:
    """Start everything, print when it is ready, and run until Ctrl-C or SIGTERM."""
    settings = options.load(given)
    log.configure(settings, "up")
    listener = serve.listen(settings.host, settings.port)
    is_embedded = given["redis_url"] is None and f"{PREFIX}REDIS_URL" not in os.environ
    server = _embedded(settings) if is_embedded else None
    if server is not None:
        settings = msgspec.structs.replace(settings, redis_url=server.url)
    port = listener.getsockname()[1]
    interrupts.catch()
    supervisor = Supervisor()
    try:
        deadline_s = time.monotonic() + _READY_TIMEOUT_S
        if server is not None:
            lock = server.lock.fileno()
            command_ = server.command()
            supervisor.start(Spec(_SERVER, command_, rank=2, pass_fds=(lock,), umask=private.UMASK))
            _wait_for_server(supervisor, server, deadline_s)
        url = first_token.url(settings.host, port)
        _prepare(settings, url, is_embedded=is_embedded)
        _start_roles(supervisor, settings, listener.detach())
        _wait_until_ready(supervisor, settings, port, deadline_s)
        click.echo(f"tributary: ready on {url}")
        while True:
            supervisor.watch()
            time.sleep(_WATCH_S)
    except KeyboardInterrupt:
        interrupts.end_at_once()  # by a second Ctrl-C
    finally:
        supervisor.stop()


def _embedded(settings: Settings) -> EmbeddedServer:
    if settings.durability == "replicated":
        raise Misconfigured(
            "durability='replicated' needs a server with a replica, and the embedded one has none; "
            "name a server with --redis-url, or ask for fsync"
        )
    return EmbeddedServer.of(settings)


def _wait_for_server(supervisor: Supervisor, server: EmbeddedServer, deadline_s: float) -> None:
    """Return when the server has loaded its data; one that was killed meanwhile is restarted."""
    while not server.is_ready():
        supervisor.watch()
        status_ = supervisor.exit_status(_SERVER)
        if status_ is not None and status_ > 0:
            raise Misconfigured(
                f"the embedded server exited with status {status_}; {server.last_words()}"
            )
        if time.monotonic() > deadline_s:
            raise Misconfigured(f"the embedded server does not answer; {server.last_words()}")
        time.sleep(_SERVER_POLL_S)


def _prepare(settings: Settings, url: str, *, is_embedded: bool) -> None:
    client = redis_client.connect(settings)
    try:
        redis_client.prepare(client, settings)
        if sys.stdout.isatty() and first_token.is_needed(settings, client):
            first_token.show(first_token.create(client), url)
        remedy = first_token.command(settings, is_embedded=is_embedded)
        guard.check_exposure(settings, client, remedy)
    except Misconfigured:
        raise
    except TributaryError as error:
        raise Misconfigured(f"redis_url={redis_url.shown(settings.redis_url)}: {error}") from None
    finally:
        client.close()


def _start_roles(supervisor: Supervisor, settings: Settings, listener_fd: int) -> None:
    environ = {
        PREFIX + name.upper(): str(value)
        for name, value in msgspec.structs.asdict(settings).items()
    }
    python = [sys.executable, "-m", "tributary"]
    for name in _aggregator_names(settings):
        supervisor.start(Spec(name, [*python, "aggregator"], 1, environ))
    web = [*python, "web", "--listener-fd", str(listener_fd)]
    supervisor.start(Spec("web", web, 0, environ, pass_fds=(listener_fd,)))


def _wait_until_ready(
    supervisor: Supervisor, settings: Settings, port: int, deadline_s: float
) -> None:
    client = redis_client.connect(settings)
    while time.monotonic() < deadline_s:
        supervisor.watch()
        _check_children(supervisor, settings)
        if _answers_ready(settings, port):
            alive = status.aggregators_alive(client, settings)
            if len(alive) >= settings.aggregators:
                client.close()
                return
        time.sleep(_WATCH_S)
    raise Misconfigured(
        f"not ready after {_READY_TIMEOUT_S:.0f} s; the lines above say what is missing"
    )


def _check_children(supervisor: Supervisor, settings: Settings) -> None:
    """Raise at once if a child says that it cannot start, instead of starting it for a minute."""
    for name in ("web", *_aggregator_names(settings)):
        if supervisor.exit_status(name) == _EXIT_MISCONFIGURED:
            raise Misconfigured(f"{name} cannot start; the lines above say what is wrong")


def _aggregator_names(settings: Settings) -> list[str]:
    return [f"aggregator-{number}" for number in range(settings.aggregators)]


def _answers_ready(settings: Settings, port: int) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    asking = http.client.HTTPConnection(host, port, timeout=2)
    try:
        asking.request("GET", "/readyz")
        return asking.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        asking.close()
