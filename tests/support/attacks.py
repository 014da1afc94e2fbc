"""Attacks of a page of another site through a real browser, and their results.

`python -m support.attacks URL` prints the table for a server that runs without tokens.
"""

from __future__ import annotations

import http.server
import json
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import Page, sync_playwright

from support.processes import request

# Both names resolve to this machine: the attacker's site, and a name rebound to the server.
_RULES = "--host-resolver-rules=MAP evil.test 127.0.0.1, MAP rebind.test 127.0.0.1"
_POST = """([url, body]) => fetch(url, {method: "POST", mode: "no-cors", body}).then(
    response => "response " + (response.status || "opaquely"), error => "failed")"""
_BEACON = """([url, body]) => String(navigator.sendBeacon(url, body))"""
_IMAGE = """url => new Promise(done => {
    const image = new Image();
    image.onload = image.onerror = () => done("requested");
    image.src = url;
})"""
_FORM = """([url, body]) => {
    const form = document.createElement("form");
    form.method = "POST"; form.action = url; form.enctype = "text/plain";
    const field = document.createElement("input");
    field.name = body; field.value = "";
    form.append(field); document.body.append(form); form.submit();
}"""


def stored(url: str) -> set[str]:
    """The devices that the server has readings of."""
    status, body = request(url, "GET", "/api/v1/devices?limit=1000", None, {})
    assert status == 200, body
    return {each["device"] for each in body["devices"]}


def play(url: str) -> dict[str, str]:
    """Run every attack on a server; attack → result, as the browser sees it."""
    port = urlsplit(url).port
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    seen = {}
    with _evil_site() as evil, sync_playwright() as playwright:
        options = {"executable_path": chromium, "args": ["--no-sandbox", _RULES]}
        browser = playwright.chromium.launch(**options)  # type: ignore[arg-type]
        page = browser.new_page()
        page.goto(evil)
        seen["fetch no-cors"] = page.evaluate(_POST, [f"{url}/record", _reading("evil-fetch")])
        seen["sendBeacon"] = page.evaluate(_BEACON, [f"{url}/record", _reading("evil-beacon")])
        seen["image GET"] = page.evaluate(_IMAGE, f"{url}/collect?device=evil-image")
        with page.expect_navigation():
            page.evaluate(_FORM, [f"{url}/record", _reading("evil-form")])
        seen["form POST"] = _text(page)[:60]
        rebound = f"http://rebind.test:{port}"
        page.goto(f"{rebound}/api/v1/devices")
        seen["rebinding, read"] = _text(page)[:60]
        seen["rebinding, write"] = page.evaluate(
            _POST, [f"{rebound}/record", _reading("evil-rebind")]
        )
        browser.close()
    return seen


def _reading(device: str) -> str:
    return json.dumps({"device": device, "engine_temperature": 1})


def _text(page: Page) -> str:
    return page.inner_text("body").replace("\n", " ")


@contextmanager
def _evil_site() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>evil</title><body>evil</body>")

        def log_message(self, *_: object) -> None:
            """Do not log."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://evil.test:{server.server_port}/"
        server.shutdown()


if __name__ == "__main__":
    for attack, result in play(sys.argv[1]).items():
        print(f"{attack:<18} {result}")  # noqa: T201
    print("stored:", ", ".join(sorted(stored(sys.argv[1]))) or "nothing")  # noqa: T201
