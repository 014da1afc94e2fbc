"""Settings as command-line options, from the same table."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

import click

from tributary import settings
from tributary.settings import PREFIX, Settings

Function = Callable[..., Any]

HTTP = (
    "host",
    "port",
    "ingest_workers",
    "http_threads",
    "open",
    "lane",
    "durability",
    "wait_replicas",
)
EMBEDDED = ("data_dir", "server_binary")
COMMON = ("redis_url", "log_level", "log_format")
RUNNING = ("redis_url", "data_dir")  # which deployment to look at


def add(*names: str, prefix: str = "") -> Callable[[Function], Function]:
    """Add settings as options to a command; it gets them by name, None if absent.

    `prefix`: of settings of one role, left out in its options.
    """

    def decorate(function: Function) -> Function:
        rows = {name: (default, unit, meaning) for name, default, unit, meaning in settings.table()}
        for name in reversed(names):
            default, unit, meaning = rows[name]
            flag = "--" + name.removeprefix(prefix).replace("_", "-")
            function = _option(flag, name, default, unit, meaning)(function)
        return function

    return decorate


def server(function: Function) -> Function:
    """Add the options of commands that are HTTP clients."""
    url = click.option(
        "--url", default="http://127.0.0.1:8000", show_default=True, help="address of the server"
    )
    variable = settings.TOKEN_VARIABLE
    help_text = f"credential, if the server requires one [{variable}]"
    return url(click.option("--token", envvar=variable, help=help_text)(function))


def load(given: dict[str, Any]) -> Settings:
    """Read the settings from the environment and the given options."""
    return settings.load(overrides=given)


def is_named(given: dict[str, Any], name: str) -> bool:
    """Whether a setting was given, as an option or in the environment."""
    return given[name] is not None or f"{PREFIX}{name.upper()}" in os.environ


def _option(
    flag: str, name: str, default: Any, unit: str, meaning: str
) -> Callable[[Function], Function]:
    kind = settings.base_type(name)
    shown = f"{meaning} [{PREFIX}{name.upper()}{f'; default: {default}' if default != '' else ''}]"
    if kind is bool:
        both = f"{flag}/--no-{flag[2:]}" if default else flag
        return click.option(both, name, is_flag=True, default=None, help=shown)
    if get_origin(kind) is Literal:
        return click.option(flag, name, type=click.Choice(get_args(kind)), help=shown)
    metavar = (unit or kind.__name__).upper()
    if settings.is_list(name):
        return click.option(
            flag, name, metavar=metavar.split(",")[0], help=shown, multiple=True, callback=_joined
        )
    # `settings.load` validates all values together, instead of click one by one.
    return click.option(flag, name, metavar=metavar, help=shown)


def _joined(_context: click.Context, _option: click.Parameter, given: Any) -> str | None:
    return ",".join(given) or None
