"""`/docs` in a real browser: it shows every operation, obeys its own policy, asks nobody else."""

from __future__ import annotations

import os
import shutil

import pytest
from playwright.sync_api import sync_playwright
from support.processes import Deployment

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None and not os.environ.get("CI"):
    pytest.skip("needs chromium", allow_module_level=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_shows_every_operation_and_nothing_goes_wrong(deployment: Deployment, scheme: str):
    said: list[str] = []
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(color_scheme=scheme)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        answer = page.goto(f"{deployment.url}/docs")
        page.wait_for_selector("#operations-collect-getHistory")
        page.click("#operations-collect-listDevices .opblock-summary-control")
        page.click("#operations-collect-listDevices button.execute")
        page.wait_for_selector(
            "#operations-collect-listDevices .live-responses-table .response-col_description pre"
        )
        is_dark = page.evaluate("document.documentElement.classList.contains('dark-mode')")
        browser.close()
    assert answer is not None
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert is_dark is (scheme == "dark")
    assert said == []
    assert {url.split("/")[2] for url in asked} == {deployment.url.removeprefix("http://")}
