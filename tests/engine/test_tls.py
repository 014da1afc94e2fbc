"""The proxy of compose.yaml with a certificate, and its limit of listeners."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.certificates import Certificates
from support.processes import request
from support.programs import needed
from support.waiting import wait_until

from engine.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
_READING = {"device": "car-11", "speed": 1}


@pytest.fixture(scope="module")
def secured(
    running: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, ssl.SSLContext]]:
    """The proxy with a certificate, and with two listeners per address; and what trusts it."""
    made = Certificates(tmp_path_factory.mktemp("tls") / "made")
    (made.folder / "own.pem").rename(made.folder / "fullchain.pem")
    (made.folder / "own.key").rename(made.folder / "privkey.pem")
    for path in (made.folder, made.folder.parent, *made.folder.iterdir()):
        path.chmod(0o755)
    running.environ |= {
        "TLS": "on", "TLS_FOLDER": str(made.folder), "TRIBUTARY_LIVE_LISTENERS_PER_ADDRESS": "2",
    }  # fmt: skip
    running.start()
    recreate(running)
    yield running, ssl.create_default_context(cafile=str(made.folder / "ca.pem"))
    for name in ("TLS", "TLS_FOLDER", "TRIBUTARY_LIVE_LISTENERS_PER_ADDRESS"):
        del running.environ[name]
    recreate(running)


def recreate(stack: Stack) -> None:
    """Start the proxy again with the current environment."""
    stack.drop(stack.name("proxy"))
    stack.up("--no-deps", "proxy")
    stack.wait_healthy(stack.name("proxy"))


def test_readings_are_recorded_and_collected_over_tls(secured: tuple[Stack, ssl.SSLContext]):
    stack, trusting = secured
    sender = http.client.HTTPSConnection("127.0.0.1", stack.ports["ingest"], context=trusting)
    sender.request("POST", "/record", json.dumps({"device": "car-13", "speed": 5}))
    assert sender.getresponse().read() == b'{"success":true}'
    version = sender.sock.version()  # type: ignore[union-attr]
    assert version == "TLSv1.3"
    sender.close()
    with pytest.raises((OSError, http.client.HTTPException)):
        request(stack.url("ingest"), "POST", "/record", _READING, {})


def test_browsers_get_http_2_over_tls(secured: tuple[Stack, ssl.SSLContext]):
    stack, _ = secured
    command = [needed("curl"), "-s", "-k", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"]
    address = f"https://127.0.0.1:{stack.ports['api']}/"
    assert subprocess.check_output([*command, address]) == b"2 200"


def test_an_address_has_a_limited_number_of_listeners(secured: tuple[Stack, ssl.SSLContext]):
    stack, trusting = secured
    opened = []
    for _ in range(3):
        each = http.client.HTTPSConnection("127.0.0.1", stack.ports["api"], context=trusting)
        each.request("GET", "/api/v1/live?device=car-13")
        opened.append((each, each.getresponse()))
    assert [response.status for _, response in opened] == [200, 200, 429]
    last = opened[-1][1]
    assert json.loads(last.read())["error"]["code"] == "too_many_listeners"
    for each, _ in opened:
        each.close()


def test_a_renewed_certificate_is_loaded_without_a_restart(
    secured: tuple[Stack, ssl.SSLContext], tmp_path: Path
):
    stack, trusting = secured
    kept = http.client.HTTPSConnection("127.0.0.1", stack.ports["ingest"], context=trusting)
    kept.connect()
    folder = Path(stack.environ["TLS_FOLDER"])
    renewed = Certificates(tmp_path / "renewed").folder
    for made, target in (("own.pem", "fullchain.pem"), ("own.key", "privkey.pem")):
        (folder / target).write_bytes((renewed / made).read_bytes())
    stack.engine.run("kill", "--signal", "HUP", stack.name("proxy"))
    later = ssl.create_default_context(cafile=str(renewed / "ca.pem"))

    def is_renewed() -> bool:
        sender = http.client.HTTPSConnection("127.0.0.1", stack.ports["ingest"], context=later)
        try:
            sender.request("POST", "/record", json.dumps(_READING))
            return sender.getresponse().status == 200
        except ssl.SSLCertVerificationError:
            return False
        finally:
            sender.close()

    wait_until(is_renewed, "the new certificate")
    kept.request("POST", "/record", json.dumps(_READING))
    assert kept.getresponse().status == 200
    kept.close()
