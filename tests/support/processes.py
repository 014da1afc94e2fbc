"""Real processes for tests: Redis servers, Tributary roles, whole deployments."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import redis

from support.forking import ForkedPopen
from support.waiting import wait_until
from tributary.settings import PREFIX
from tributary.standalone.embedded_server import EmbeddedServer

WITH_JOBS = {f"{PREFIX}JOBS_WORKERS": "1"}
ROOT = Path(__file__).resolve().parents[2]
# Host names in raw requests of tests; without tokens they must be in `public_hosts`.
HOSTS = "a,b,here,x"
READY = re.compile(r"tributary: ready on (http://\S+)")


class Process:
    """A command that runs in the background, with its output so far.

    Tests fork commands of Python, see `forking.py`; not with `is_forked=False`.
    """

    def __init__(
        self,
        command: list[str],
        environ: Mapping[str, str] | None = None,
        *,
        is_forked: bool = True,
        **popen: Any,
    ) -> None:
        self.output: list[str] = []
        # Scripts put tests/ on PYTHONPATH, where folders have the names of the packages.
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(PREFIX) and k != "PYTHONPATH"
        }
        self.popen = (ForkedPopen if is_forked else subprocess.Popen)(
            command,
            env={**inherited, f"{PREFIX}PUBLIC_HOSTS": HOSTS, **(environ or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",  # a process that is killed may leave half a character
            **popen,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def text(self) -> str:
        """The output so far."""
        return "".join(self.output)

    def wait_for(self, pattern: re.Pattern[str], timeout_s: float = 60.0) -> re.Match[str]:
        """The first match of a pattern in the output."""

        def found() -> re.Match[str] | None:
            has_ended = self.popen.poll() is not None
            if has_ended:
                self._reader.join(5)  # for the last lines to be read
            match = pattern.search(self.text)
            if match is None and has_ended:
                raise AssertionError(f"ended with {self.popen.returncode}: {self.text}")
            return match

        match = wait_until(found, f"{pattern.pattern!r} in the output", timeout_s)
        assert match is not None
        return match

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def stop(self, timeout_s: float = 60.0) -> int:
        """Send SIGTERM and return the exit status."""
        if self.popen.poll() is None:
            self.popen.terminate()
        return self.end(timeout_s)

    def kill(self) -> int:
        """Send SIGKILL and return the exit status."""
        if self.popen.poll() is None:
            self.popen.kill()
        return self.end(10)

    def end(self, timeout_s: float = 60.0) -> int:
        """Wait for the process to exit; its exit status."""
        is_late = False
        try:
            self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            is_late = True
            self.popen.kill()
            self.popen.wait()
        self._reader.join(5)
        if self.popen.stdout is not None:
            self.popen.stdout.close()
        assert not is_late, f"did not end in {timeout_s} s: {self.text}"
        return self.popen.returncode

    def _read(self) -> None:
        assert self.popen.stdout is not None
        with contextlib.suppress(ValueError):  # closed while reading
            for line in self.popen.stdout:
                self.output.append(line)


def tributary(
    *arguments: str, environ: Mapping[str, str] | None = None, cwd: Path = ROOT, **popen: Any
) -> Process:
    """`tributary …` in the background; `up` without jobs, which take a third of its start.

    In the suite, the fork server forks it; with `is_forked=False` it is started as by a user.
    """
    if arguments[0] == "up":
        environ = {f"{PREFIX}JOBS_WORKERS": "0", **(environ or {})}
    return Process([sys.executable, "-m", "tributary", *arguments], environ, cwd=cwd, **popen)


class Server:
    """An embedded server for one test; it can be killed and restarted on its data."""

    def __init__(
        self,
        data_dir: Path,
        binary: str = "",
        environ: Mapping[str, str] | None = None,
        **config: str,
    ) -> None:
        self._environ = environ
        self.folder = data_dir
        self._embedded = EmbeddedServer(str(data_dir), binary)
        self.url = self._embedded.url
        self._config = config
        self.start()

    def start(self, *, until_ready: bool = True) -> None:
        """Start with the existing data, and wait until it responds if `until_ready`."""
        extra = [word for k, v in self._config.items() for word in ("--" + k.replace("_", "-"), v)]
        self.process = Process([*self._embedded.command(), *extra], self._environ)
        self.client = redis.Redis.from_url(self.url, socket_timeout=30)
        if until_ready:
            try:
                ended = self.process.popen.poll
                wait_until(lambda: self._answers() or ended() is not None, "the server to respond")
                assert ended() is None, self.process.text
            except AssertionError:
                self.process.kill()  # nothing else would
                self._embedded.lock.close()
                raise

    def stop(self) -> None:
        self.client.close()
        self.process.stop()

    def kill(self) -> None:
        self.client.close()
        self.process.kill()

    def close(self) -> None:
        """Stop, and release the data directory."""
        self.stop()
        self._embedded.lock.close()

    @property
    def append_only_file(self) -> Path:
        """The newest one."""
        return max(Path(self.url.removeprefix("unix://")).parent.glob("appendonlydir/*.incr.aof"))

    def listen(self) -> int:
        """Make it listen on a port as well; the port."""
        self.client.config_set("port", "0")
        for port in range(20_000, 30_000, 37):
            with contextlib.suppress(redis.ResponseError):  # the port is in use
                self.client.config_set("port", str(port))
                return port
        raise AssertionError("no free port")

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False


class Deployment:
    """`tributary up` as a process, and HTTP requests to it."""

    def __init__(
        self,
        data_dir: Path,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.data_dir = data_dir
        words = ("up", "--port", "0", "--data-dir", str(data_dir), *arguments)
        self.process = tributary(*words, environ=environ, **options)
        self.url = self.process.wait_for(READY)[1]

    @property
    def redis(self) -> redis.Redis:
        return redis.Redis.from_url((self.data_dir / "redis.url").read_text().strip())

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        return request(self.url, "GET", path, None, headers)

    def post(self, path: str, body: Any = b"", **headers: str) -> tuple[int, Any]:
        return request(self.url, "POST", path, body, headers)

    def stop(self) -> int:
        return self.process.stop()


class Reply(NamedTuple):
    """A response: its header fields by lower-case name, its content, and that as JSON."""

    status: int
    headers: dict[str, str]
    content: bytes
    json: Any

    @property
    def code(self) -> str:
        """The code of an error response."""
        return str(self.json["error"]["code"])


def exchange(url: str, method: str, path: str, body: Any = None, **headers: str) -> Reply:
    """Send one request on a new connection; a body that is not bytes is sent as JSON.

    Names of header fields have underscores instead of hyphens.
    """
    is_raw = body is None or isinstance(body, bytes | Iterator)
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    try:
        connection.request(method, path, body if is_raw else json.dumps(body).encode(), fields)
        response = connection.getresponse()
        content = response.read()
        named = {name.lower(): value for name, value in response.getheaders()}
        type_ = named.get("content-type", "")
        is_json = content and "json" in type_ and "ndjson" not in type_
        return Reply(response.status, named, content, json.loads(content) if is_json else None)
    finally:
        connection.close()


def request(
    url: str, method: str, path: str, body: Any, headers: Mapping[str, str]
) -> tuple[int, Any]:
    """Status and JSON of one request; text if the response is not JSON, and None if it is empty."""
    reply = exchange(url, method, path, body, **headers)
    text = reply.content.decode() or None
    return reply.status, text if reply.json is None else reply.json


@contextlib.contextmanager
def sigint_ignored() -> Iterator[None]:
    """Start processes with SIGINT ignored, like nohup and background jobs of scripts."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def free_port() -> int:
    """A port that no process listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@contextlib.contextmanager
def stopped(process: Process) -> Iterator[None]:
    """Suspend a process with SIGSTOP."""
    process.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.signal(signal.SIGCONT)
