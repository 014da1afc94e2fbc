"""Connections of `tributary mqtt`: logins, WebSocket and TLS."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from support.mosquitto import Mosquitto
from support.pipeline import environ
from support.processes import Process
from support.programs import needed

from tributary.settings import Settings

Run = Callable[..., Process]
_SUBSCRIBED = re.compile("subscribed action=subscribed")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, mqtt_topic="#", mqtt_client_id="bridge")


def test_logs_in_over_websockets_and_never_logs_the_password(
    settings: Settings, run: Run, tmp_path: Path
):
    passwords = tmp_path / "passwords"
    subprocess.run(
        [needed("mosquitto_passwd"), "-b", "-c", str(passwords), "eve", "p@ss:word"], check=True
    )
    broker = Mosquitto(tmp_path / "closed", passwords.read_text())
    try:
        wrong = run("mqtt", "--broker", f"mqtt://eve:secret@127.0.0.1:{broker.port}", "--topic", "#",
                    environ=environ(msgspec.structs.replace(settings, mqtt_broker="")))  # fmt: skip
        wrong.wait_for(re.compile("rejects the connection: Not authorized"))
        url = f"ws://eve:p%40ss%3Aword@127.0.0.1:{broker.websocket_port}"
        right = run("mqtt", environ=environ(msgspec.structs.replace(settings, mqtt_broker=url)))
        right.wait_for(_SUBSCRIBED)
        assert "secret" not in wrong.text
        assert "word" not in right.text
    finally:
        broker.kill()


def test_connects_with_tls_to_a_broker_with_a_trusted_certificate(
    settings: Settings, run: Run, tmp_path: Path
):
    file = str(tmp_path / "broker.pem")
    subprocess.run(
        [needed("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", file, "-out", file],
        check=True, capture_output=True,
    )  # fmt: skip
    broker = Mosquitto(tmp_path / "tls", tls=file)
    url = f"mqtts://localhost:{broker.tls_port}"
    variables = environ(msgspec.structs.replace(settings, mqtt_broker=url))
    try:
        run("mqtt", environ=variables).wait_for(re.compile("outage began .*no connection"))
        run("mqtt", environ={**variables, "SSL_CERT_FILE": file}).wait_for(_SUBSCRIBED)
    finally:
        broker.kill()
