"""The deployment that a command inspects from outside."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import Any

import msgspec
import redis

from tributary.cli import options
from tributary.errors import ConnectionGone, Misconfigured, NotRunning, TributaryError
from tributary.operate import status
from tributary.operate.status import Status
from tributary.settings import Settings
from tributary.standalone import data_dir
from tributary.store import keys, redis_client, redis_url

_NOT_RUNNING = (
    "no Tributary is running here; start it with `tributary up`, or pass --data-dir / --redis-url"
)


def find(given: dict[str, Any]) -> Settings:
    """The settings of the deployment that the options of a command select.

    If they name none: the one on the default data directory, else the only one that this user
    runs on this machine, else the one at the default URL.

    Raises:
        NotRunning: there is none.
        Misconfigured: several are running, or a setting is invalid.
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
    return msgspec.structs.replace(settings, redis_url=url)


def _is_deployment(settings: Settings) -> bool:
    """Whether a role has used the server at the URL; assume so if it replies with an error."""
    try:
        with contextlib.closing(redis_client.connect(settings)) as client, redis_client.failures():
            return bool(client.exists(keys.CONFIG))
    except ConnectionGone:
        return False
    except TributaryError:
        return True


class Target:
    """A deployment to poll; it can be unavailable at times."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.client: redis.Redis = redis_client.connect(settings)
        self._has_read_partitions = False

    @property
    def address(self) -> str:
        """The URL without its password."""
        return redis_url.redacted(self.settings.redis_url)

    def status(self) -> Status:
        """The status of all partitions of the stored data.

        Raises:
            Unavailable: the server is unavailable.
        """
        if not self._has_read_partitions:
            self.settings = status.with_stored_partitions(self.client, self.settings)
            self._has_read_partitions = True
        return status.read(self.client, self.settings)
