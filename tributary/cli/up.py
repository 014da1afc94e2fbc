"""`tributary up`: every role and an embedded server, from one command."""

from __future__ import annotations

import http.client
import os
import signal
import sys
import time
from types import FrameType
from typing import Any

import click
import msgspec

from tributary import connection, guard, log, serve, status
from tributary.cli import options
from tributary.errors import Misconfigured, TributaryError
from tributary.server import EmbeddedServer
from tributary.settings import PREFIX, Settings
from tributary.supervisor import Spec, Supervisor

_READY_PATIENCE_S = 60.0
_WATCH_S = 0.05


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
    signal.signal(signal.SIGTERM, _stop)
    supervisor = Supervisor()
    try:
        deadline_s = time.monotonic() + _READY_PATIENCE_S
        if server is not None:
            lock = server.lock.fileno()
            supervisor.start(Spec("server", server.command(), rank=2, pass_fds=(lock,)))
            server.wait_until_ready(deadline_s)
        _prepare(settings)
        _start_roles(supervisor, settings, listener.detach())
        _wait_until_ready(supervisor, settings, port, deadline_s)
        click.echo(f"tributary: ready on http://{_shown(settings.host)}:{port}")
        while True:
            supervisor.watch()
            time.sleep(_WATCH_S)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C ends at once
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    finally:
        supervisor.stop()


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _embedded(settings: Settings) -> EmbeddedServer:
    if settings.durability == "replicated":
        raise Misconfigured(
            "durability='replicated' needs a server with a replica, and the embedded one has none; "
            "name a server with --redis-url, or ask for fsync"
        )
    return EmbeddedServer(settings.data_dir, settings.server_binary, settings.durability)


def _prepare(settings: Settings) -> None:
    client = connection.connect(settings)
    try:
        connection.prepare(client, settings)
        guard.check_exposure(settings, client)
    except Misconfigured:
        raise
    except TributaryError as error:
        raise Misconfigured(f"redis_url={connection.shown(settings.redis_url)}: {error}") from None
    finally:
        client.close()


def _start_roles(supervisor: Supervisor, settings: Settings, listener_fd: int) -> None:
    environ = {
        PREFIX + name.upper(): str(value)
        for name, value in msgspec.structs.asdict(settings).items()
    }
    python = [sys.executable, "-m", "tributary"]
    for number in range(settings.aggregators):
        supervisor.start(Spec(f"aggregator-{number}", [*python, "aggregator"], 1, environ))
    web = [*python, "web", "--listener-fd", str(listener_fd)]
    supervisor.start(Spec("web", web, 0, environ, pass_fds=(listener_fd,)))


def _wait_until_ready(
    supervisor: Supervisor, settings: Settings, port: int, deadline_s: float
) -> None:
    client = connection.connect(settings)
    while time.monotonic() < deadline_s:
        supervisor.watch()
        if _answers_ready(settings, port):
            alive = status.aggregators_alive(client, settings)
            if len(alive) >= settings.aggregators:
                client.close()
                return
        time.sleep(_WATCH_S)
    raise Misconfigured(
        f"not ready after {_READY_PATIENCE_S:.0f} s; the lines above say what is missing"
    )


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


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
