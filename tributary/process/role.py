"""What a role is: a record that `tributary NAME` and `tributary up` run.

A package exports one record per role; tributary/cli/roles.py lists them. Nothing else has to
change for another role. `up` imports every record but runs none of them, so a record imports
its implementation inside its functions, or names it with `on_call`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from tributary.settings import Settings

if TYPE_CHECKING:
    import redis
    from flask import Blueprint

    from tributary.auth.guard import Guard
    from tributary.http.lane.lane import Lane


def on_call(target: str) -> Callable[..., Any]:
    """The function `package.module:name`, imported when it is called."""

    def call(*arguments: object) -> object:
        return pkgutil.resolve_name(target)(*arguments)

    return call


class HttpRole(NamedTuple):
    """Routes. `up` serves those of all HTTP roles on one port."""

    name: str
    description: str  # of the command
    example: str  # a command line
    writes: bool  # whether it is ready only while Redis accepts writes
    blueprint: Callable[[Settings, Guard], Blueprint]  # every route, over Flask
    attach: Callable[[Settings, Lane, Guard], None]  # adds the fast routes to the lane


def _is_ready(_client: redis.Redis, _settings: Settings) -> bool:
    return True


class WorkerRole(NamedTuple):
    """A process that runs until SIGTERM or SIGINT."""

    name: str
    description: str
    example: str
    run: Callable[[Settings], None]
    processes: Callable[[Settings], int]  # how many `up` starts
    is_ready: Callable[[redis.Redis, Settings], bool] = _is_ready  # whether all of them work
    options: tuple[str, ...] = ()  # its settings that are options of the command


Role = HttpRole | WorkerRole
