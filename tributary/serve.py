"""Flask apps under gunicorn: one listening socket, several worker processes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from loguru import logger

from tributary import failpoints
from tributary.auth import guard
from tributary.auth.guard import Guard
from tributary.errors import Misconfigured
from tributary.http import flask_app, plain
from tributary.http.lane import head
from tributary.http.lane.gunicorn_worker import Application, LaneWorker
from tributary.http.lane.lane import Lane
from tributary.settings import Settings
from tributary.standalone import lifeline
from tributary.standalone.lifeline import Lifeline
from tributary.store import redis_client

MakeApp = Callable[[Settings, Guard], Flask]
Attach = Callable[[Settings, Lane, Guard], None]

BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """A bound socket, which workers can inherit.

    Raises:
        Misconfigured: the address cannot be used.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        raise Misconfigured(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port"
        ) from None
    return listener


def serve(
    settings: Settings, make_app: MakeApp, attach: tuple[Attach, ...], listener_fd: int
) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished.

    Args:
        settings: of the deployment.
        make_app: makes the Flask app, complete by itself.
        attach: put the hot routes into the lane.
        listener_fd: a listening socket.

    Raises:
        Misconfigured: the Redis server does not fit these settings, or cannot be reached, or
            everybody would be let in.
    """
    redis_client.wait_and_prepare(settings)
    client = redis_client.connect(settings)
    guard.check_exposure(settings, client)
    guard.report_ignored_tokens(settings, client)
    if (
        settings.durability == "replicated"
        and not settings.lane
        and redis_client.is_cluster(client)
    ):
        raise Misconfigured(
            "durability='replicated' on a Redis Cluster needs the lane; leave out --no-lane"
        )
    client.close()
    _Server(settings, make_app, attach, listener_fd).run()


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    def __init__(
        self, settings: Settings, make_app: MakeApp, attach: tuple[Attach, ...], listener_fd: int
    ) -> None:
        self._settings = settings
        self._make_app = make_app
        self._attach = attach
        self._listener_fd = listener_fd
        self._lifeline = Lifeline()
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": f"fd://{self._listener_fd}",
            "workers": self._settings.ingest_workers,
            "worker_class": LaneWorker
            if self._settings.lane
            else plain.worker_class(self._settings.body_max_bytes),
            "threads": self._settings.http_threads,
            "keepalive": 75,
            "graceful_timeout": 10,
            "timeout": 30,
            "limit_request_line": 8190,
            "limit_request_fields": head.FIELDS_MAX,
            "limit_request_field_size": head.BLOCK_MAX_BYTES,
            # A header says nothing about who asks, or how: no proxy in front is known to us.
            "header_map": "refuse",
            "forwarder_headers": "",
            "secure_scheme_headers": {},
            "control_socket_disable": True,
            "logger_class": _GunicornLogger,
            "when_ready": _announce,
            "post_fork": self._begin_worker,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def _begin_worker(self, _arbiter: Any, _worker: Any) -> None:
        lifeline.release_signals()
        self._lifeline.watch()
        failpoints.arm(self._settings.fail)

    def run(self) -> None:
        """Serve until a signal; gunicorn's loop."""
        _Arbiter(self).run()

    def load(self) -> Flask | Application:
        guard = Guard(self._settings, redis_client.connect(self._settings))
        app = self._make_app(self._settings, guard)
        flask_app.add_check(app, guard.readiness)
        if not self._settings.lane:
            return plain.tell_faults(app)
        lane = Lane(self._settings)
        for attach in self._attach:
            attach(self._settings, lane, guard)
        flask_app.add_check(app, lane.readiness)
        return Application(lane, app, self._settings.http_threads)


class _Arbiter(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's master, whose workers lose no signal between fork and their first step."""

    def spawn_worker(self) -> Any:
        with lifeline.signals_held():
            return super().spawn_worker()

    def handle_int(self) -> None:
        """SIGINT: finish the requests under way, as after SIGTERM; gunicorn would drop them."""
        self.handle_term()


def _announce(arbiter: Any) -> None:
    for listener in arbiter.LISTENERS:
        logger.bind(action="serving", at=str(listener)).info("serving")


class _GunicornLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own lines as events of ours, its routine at DEBUG."""

    def setup(self, cfg: Any) -> None:
        """Leave logging as it is configured."""

    def critical(self, msg: Any, *args: Any, **_: Any) -> None:
        _log("CRITICAL", msg, args)

    def error(self, msg: Any, *args: Any, **_: Any) -> None:
        _log("ERROR", msg, args)

    def warning(self, msg: Any, *args: Any, **_: Any) -> None:
        _log("WARNING", msg, args)

    def info(self, msg: Any, *args: Any, **_: Any) -> None:
        _log("DEBUG", msg, args)

    def debug(self, msg: Any, *_args: Any, **_: Any) -> None:
        # Without the arguments: they are what clients have sent, and may be a secret.
        _log("DEBUG", msg, ())

    def exception(self, msg: Any, *args: Any, **_: Any) -> None:
        logger.bind(action="gunicorn", text=_text(msg, args)).exception("gunicorn says")


def _log(level: str, msg: Any, args: Any) -> None:
    logger.bind(action="gunicorn", text=_text(msg, args)).log(level, "gunicorn says")


def _text(msg: Any, args: Any) -> str:
    return str(msg) % args if args else str(msg)
