"""`/docs` in a real browser: shows every operation, obeys its policy, loads no other host."""

from __future__ import annotations

import os
import shutil

import pytest
from playwright.sync_api import sync_playwright
from support.processes import Deployment

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None and not os.environ.get("CI"):
    pytest.skip("needs chromium", allow_module_level=True)


def test_shows_every_operation_without_errors(deployment: Deployment):
    messages: list[str] = []
    requested: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            page = browser.new_page(color_scheme=scheme)
            page.on("console", lambda message: messages.append(message.text))
            page.on("pageerror", lambda error: messages.append(str(error)))
            page.on("request", lambda request: requested.append(request.url))
            response = page.goto(f"{deployment.url}/docs")
            page.wait_for_selector("#operations-collect-getHistory")
            page.click("#operations-collect-listDevices .opblock-summary-control")
            page.click("#operations-collect-listDevices button.execute")
            page.wait_for_selector(
                "#operations-collect-listDevices .live-responses-table .response-col_description pre"
            )
            is_dark = page.evaluate("document.documentElement.classList.contains('dark-mode')")
            assert is_dark is (scheme == "dark")
            assert response is not None
            assert "default-src 'none'" in response.headers["content-security-policy"]
        browser.close()
    assert messages == []
    assert {url.split("/")[2] for url in requested} == {deployment.url.removeprefix("http://")}
