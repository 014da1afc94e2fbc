"""Flask apps under gunicorn: one listening socket, several worker processes."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from loguru import logger

from tributary import connection, faults
from tributary.errors import Misconfigured
from tributary.settings import Settings

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


def check_exposure(settings: Settings) -> None:
    """Let nobody but this machine in, unless the operator has said so.

    Raises:
        Misconfigured: the address is reachable from elsewhere and `open` is not set.
    """
    if settings.open or settings.host == "localhost":
        return
    try:
        is_loopback = ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise Misconfigured(
            f"host={settings.host!r} is reachable from other machines, and there are no tokens; "
            "listen on 127.0.0.1, or let anybody in with --open"
        )


def serve(settings: Settings, make_app: Callable[[Settings], Flask], listener_fd: int) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished.

    Raises:
        Misconfigured: the Redis server does not fit these settings, or cannot be reached.
    """
    connection.wait_and_prepare(settings)
    _Server(settings, make_app, listener_fd).run()


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    def __init__(
        self, settings: Settings, make_app: Callable[[Settings], Flask], listener_fd: int
    ) -> None:
        self._settings = settings
        self._make_app = make_app
        self._listener_fd = listener_fd
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": f"fd://{self._listener_fd}",
            "workers": self._settings.ingest_workers,
            "worker_class": "gthread",
            "threads": self._settings.http_threads,
            "keepalive": 75,
            "graceful_timeout": 10,
            "timeout": 30,
            "limit_request_fields": 64,
            "limit_request_field_size": 8190,
            "control_socket_disable": True,
            "logger_class": _GunicornLogger,
            "when_ready": _announce,
            "post_fork": lambda _arbiter, _worker: faults.arm(self._settings.fail),
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return self._make_app(self._settings)


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

    def debug(self, msg: Any, *args: Any, **_: Any) -> None:
        _log("DEBUG", msg, args)

    def exception(self, msg: Any, *args: Any, **_: Any) -> None:
        logger.bind(action="gunicorn", text=_text(msg, args)).exception("gunicorn says")


def _log(level: str, msg: Any, args: Any) -> None:
    logger.bind(action="gunicorn", text=_text(msg, args)).log(level, "gunicorn says")


def _text(msg: Any, args: Any) -> str:
    return str(msg) % args if args else str(msg)
