"""The deployment that a command inspects from outside."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import Any

import msgspec

from tributary.cli import options
from tributary.errors import ConnectionGone, Misconfigured, NotRunning, TributaryError
from tributary.settings import Settings
from tributary.standalone import data_dir
from tributary.store import keys, redis_client

_NOT_RUNNING = (
    "no Tributary is running here; start it with `tributary up`, or pass --data-dir / --redis-url"
)


def find(given: dict[str, Any]) -> Settings:
    """The settings of the deployment that the options of a command select.

    If they name none: the one on the default data directory, else the only one that this user
    runs on this machine, else the one at the default URL. Raises `NotRunning` if there is none.
    """
    settings = options.load(given)
    if options.is_named(given, "redis_url"):
        return settings
    directory = Path(settings.data_dir).resolve()
    if options.is_named(given, "data_dir") or data_dir.is_running(directory):
        return _embedded(settings, directory)
    running = data_dir.running()
    if len(running) > 1:
        choices = "".join(f"\n  --data-dir {shlex.quote(str(each))}" for each in running)
        raise Misconfigured(f"several servers are running; choose one:{choices}")
    if running:
        return _embedded(settings, running[0])
    if not _is_deployment(settings):
        raise NotRunning(_NOT_RUNNING)
    return settings


def _embedded(settings: Settings, directory: Path) -> Settings:
    url = data_dir.url_of(directory)
    if url is None:
        raise NotRunning(f"{_NOT_RUNNING} (nothing runs in {directory})")
    return msgspec.structs.replace(settings, redis_url=url, data_dir=str(directory))


def _is_deployment(settings: Settings) -> bool:
    """Whether a role has used the server at the URL; assume so if it replies with an error."""
    try:
        with contextlib.closing(redis_client.connect(settings)) as client, redis_client.failures():
            return bool(client.exists(keys.CONFIG))
    except ConnectionGone:
        return False
    except TributaryError:
        return True
