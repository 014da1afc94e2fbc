"""The files of docs/recipes.md: checked by the programs that read them, and run."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support.processes import ROOT, Deployment, Process, free_port
from support.programs import needed
from support.waiting import wait_until

TEXT = (ROOT / "docs" / "recipes.md").read_text()
HOST = "tributary.example"


def recipe(language: str, number: int = 0) -> str:
    """A code block in a language; the first one by default."""
    return str(re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)[number])


@pytest.mark.parametrize(("number", "name"), [(0, "tributary"), (1, "tributary@ingest-1")])
def test_systemd_accepts_the_unit(tmp_path: Path, number: int, name: str):
    program = tmp_path / "tributary"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / f"{name}.service"
    unit.write_text(recipe("ini", number).replace("/opt/tributary/bin/tributary", str(program)))
    checked = subprocess.run(
        [needed("systemd-analyze"), "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert unit.name not in checked.stderr, checked.stderr
    assert checked.returncode == 0, checked.stderr


class Proxy(NamedTuple):
    """nginx in front of a deployment."""

    port: int
    tls: ssl.SSLContext

    def connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(HOST, timeout=30)
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sock = self.tls.wrap_socket(raw, server_hostname=HOST)
        return connection


def configuration(folder: Path, port: int, upstream: str) -> str:
    """The recipe on a free port, with a certificate in `folder`, within a main file."""
    server = (
        recipe("nginx")
        .replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
        .replace("/etc/ssl/tributary", str(folder))
        .replace("http://127.0.0.1:8000", upstream)
    )
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{name}_temp_path {folder}/{name};\n" for name in names)
    return (
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;\n"
        f"events {{}}\nhttp {{\n{temporary}{server}}}\n"
    )


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    nginx, openssl = needed("nginx"), needed("openssl")
    certificate, port = tmp_path / "fullchain.pem", free_port()
    new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    command = [
        openssl,
        *new.split(),
        "-subj",
        f"/CN={HOST}",
        "-addext",
        f"subjectAltName=DNS:{HOST}",
    ]
    files = ["-keyout", str(tmp_path / "privkey.pem"), "-out", str(certificate)]
    subprocess.run([*command, *files], check=True, capture_output=True)
    environ = {"TRIBUTARY_PUBLIC_HOSTS": HOST}
    deployment = Deployment(tmp_path / "data", environ=environ)
    main = tmp_path / "nginx.conf"
    main.write_text(configuration(tmp_path, port, deployment.url))
    options = ["-e", str(tmp_path / "log"), "-c", str(main)]
    subprocess.run([nginx, "-t", *options], check=True, capture_output=True)
    running = Process([nginx, *options])
    found = Proxy(port, ssl.create_default_context(cafile=str(certificate)))

    def accepts() -> bool:
        with contextlib.suppress(OSError):
            found.connect().close()
            return True
        return False

    wait_until(accepts, "nginx to listen")
    yield found
    running.stop()
    deployment.stop()


def test_nginx_forwards_readings_and_live_updates_over_tls(proxy: Proxy):
    live, sender = proxy.connect(), proxy.connect()
    with contextlib.closing(live), contextlib.closing(sender):
        live.request("GET", "/api/v1/live?device=car-7")
        events = live.getresponse()
        assert events.status == 200
        body = json.dumps({"device": "car-7", "engine_temperature": 92.5})
        sender.request("POST", "/record", body)
        recorded = sender.getresponse()
        assert (recorded.status, json.loads(recorded.read())) == (200, {"success": True})
        received = next(line for line in iter(events.readline, b"") if line.startswith(b"data:"))
        assert json.loads(received[5:])["current_engine_temperature"] == 92.5


def test_a_backup_of_a_running_server_is_restored_into_an_empty_folder(tmp_path: Path):
    needed("redis-cli")
    needed("python3")
    script = tmp_path / "tributary-backup"
    script.write_text(
        next(s for s in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) if s[0] == "#")
    )
    script.chmod(0o755)
    running = Deployment(tmp_path / "data")
    readings = [
        {"device": "car-7", "recorded_at": 1_764_000_000_000 + n, "speed": n} for n in range(50)
    ]
    assert running.post("/record", readings)[0] == 200
    wait_until(lambda: count(running) == 50, "the readings")
    made = subprocess.run(
        [str(script), str(running.data_dir), str(tmp_path / "backups")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert running.redis.config_get("auto-aof-rewrite-percentage") == {
        "auto-aof-rewrite-percentage": "100"
    }
    assert running.post("/record", {"device": "car-7", "speed": 1})[0] == 200
    assert running.stop() == 0
    shutil.copytree(made.stdout.strip(), tmp_path / "restored")
    restored = Deployment(tmp_path / "restored")
    assert count(restored) == 50
    assert restored.get("/api/v1/status")[1]["accepted"] == 50
    assert restored.stop() == 0


def count(deployment: Deployment) -> int:
    """Readings of the device that were counted."""
    status, body = deployment.get("/api/v1/devices/car-7")
    return int(body["metrics"]["speed"]["total"]["count"]) if status == 200 else 0


def test_lines_of_cron_have_a_schedule_a_user_and_a_command_without_percent_signs():
    for line in recipe("cron").splitlines():
        fields = line.split(maxsplit=6)
        assert len(fields) == 7, line
        assert all(re.fullmatch(r"[\d*/,-]+", field) for field in fields[:5]), line
        assert "%" not in line, "cron ends the command there"
