"""The HTTP server: the routes of some roles under gunicorn, on one listening socket."""

from __future__ import annotations

from collections.abc import Sequence
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
from tributary.http import flask_app
from tributary.http.lane import head
from tributary.http.lane.gunicorn_worker import Application, LaneWorker
from tributary.http.lane.lane import Lane
from tributary.operate import metrics, readiness
from tributary.process import lifeline
from tributary.process.lifeline import Lifeline
from tributary.process.role import HttpRole
from tributary.settings import Settings
from tributary.store import redis_client, topology

GRACE_S = 10  # for pending requests after SIGTERM; then the worker is killed


def serve(settings: Settings, roles: Sequence[HttpRole], listener_fd: int) -> None:
    """Serve until SIGTERM or SIGINT; pending requests are finished first.

    Args:
        settings: of the deployment.
        roles: whose routes to serve.
        listener_fd: a listening socket.

    Raises:
        Misconfigured: the Redis server does not match these settings or cannot be reached, or
            other machines could connect without a token.
    """
    settings = redis_client.wait_and_prepare(settings)
    client = redis_client.connect(settings)
    guard.check_exposure(settings, client)
    guard.report_ignored_tokens(settings, client)
    if settings.durability == "replicated" and not settings.lane and topology.is_cluster(client):
        raise Misconfigured(
            "durability='replicated' on a Redis Cluster needs the lane; leave out --no-lane"
        )
    client.close()
    _Server(settings, roles, listener_fd).run()


def make_app(settings: Settings, guard: Guard, roles: Sequence[HttpRole]) -> Flask:
    """The Flask app with every route of some roles; the lane only makes some of them faster."""
    client = redis_client.connect(settings)
    checks = [
        readiness.check(
            client,
            writes=role.writes,
            replicas=settings.wait_replicas if settings.durability == "replicated" else 0,
            partitions=settings.partitions,
        )
        for role in roles
    ]
    return flask_app.make_app(
        "tributary",
        *(role.blueprint(settings, guard) for role in roles),
        metrics.blueprint(client, settings, guard),
        flask_app.health(checks),
        flask_app.cors_headers(settings),
        flask_app.body_limit(settings.body_max_bytes, doors="ingest"),
        flask_app.browser_checks(guard),
    )


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    def __init__(self, settings: Settings, roles: Sequence[HttpRole], listener_fd: int) -> None:
        self._settings = settings
        self._roles = roles
        self._listener_fd = listener_fd
        self._lifeline = Lifeline()
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": f"fd://{self._listener_fd}",
            "workers": self._settings.ingest_workers,
            "worker_class": LaneWorker if self._settings.lane else "gthread",
            "threads": self._settings.http_threads,
            "keepalive": 75,
            "graceful_timeout": GRACE_S,
            "timeout": 30,
            "limit_request_line": 8190,
            "limit_request_fields": head.FIELDS_MAX,
            "limit_request_field_size": head.BLOCK_MAX_BYTES,
            # No proxy is trusted, so no header may set the client address or the scheme.
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
        """Serve until a signal stops it."""
        _Arbiter(self).run()

    def load(self) -> Flask | Application:
        guard = Guard(self._settings, redis_client.connect(self._settings))
        app = make_app(self._settings, guard, self._roles)
        flask_app.add_check(app, guard.readiness)
        if not self._settings.lane:
            return app
        lane = Lane(self._settings)
        for role in self._roles:
            role.attach(self._settings, lane, guard)
        flask_app.add_check(app, lane.readiness)
        return Application(lane, app, self._settings.http_threads)


class _Arbiter(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's master process; its workers lose no signal right after the fork."""

    def spawn_worker(self) -> Any:
        with lifeline.signals_held():
            return super().spawn_worker()

    def handle_int(self) -> None:
        """Finish the pending requests on SIGINT, as on SIGTERM; gunicorn would drop them."""
        self.handle_term()


def _announce(arbiter: Any) -> None:
    for listener in arbiter.LISTENERS:
        logger.bind(action="serving", at=str(listener)).info("serving")


class _GunicornLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Logs the messages of gunicorn as events, routine ones at DEBUG."""

    def setup(self, cfg: Any) -> None:
        """Keep the logging configuration."""

    def critical(self, msg: Any, *args: Any, **_: Any) -> None:
        _log("CRITICAL", msg, args)

    def error(self, msg: Any, *args: Any, **_: Any) -> None:
        _log("ERROR", msg, args)

    def warning(self, msg: Any, *args: Any, **_: Any) -> None:
        if str(msg).startswith("Invalid request from"):
            # Without what follows the address: the client sent it, and it may contain secrets.
            _log("DEBUG", str(msg).partition(": ")[0], ())
        else:
            _log("WARNING", msg, args)

    def info(self, msg: Any, *args: Any, **_: Any) -> None:
        _log("DEBUG", msg, args)

    def debug(self, msg: Any, *_args: Any, **_: Any) -> None:
        # Without the arguments: clients sent them, and they may contain secrets.
        _log("DEBUG", msg, ())

    def exception(self, msg: Any, *_args: Any, **_: Any) -> None:
        logger.bind(action="gunicorn", text=_text(msg, ())).exception("gunicorn log")  # likewise


def _log(level: str, msg: Any, args: Any) -> None:
    logger.bind(action="gunicorn", text=_text(msg, args)).log(level, "gunicorn log")


def _text(msg: Any, args: Any) -> str:
    return str(msg) % args if args else str(msg)
