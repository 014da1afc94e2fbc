"""Chromium and a real deployment."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from support.processes import Server
from support.site import Site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

EXPECT_MS = 15_000  # a page on a busy machine may take long to show what it should
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, started per module: its event loop would disturb other tests."""
    if CHROMIUM is None:
        assert not os.environ.get("CI"), "CI must install chromium"
        pytest.skip("chromium is not installed; apt-get install chromium")
    # The suite imports this file, and has no use for it.
    from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415

    expect.set_options(timeout=EXPECT_MS)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    server = Server(tmp_path_factory.mktemp("redis"))
    running = Site(server, stale_after_ms=1500)
    yield running
    running.close()
    server.close()


class Pages:
    """Pages, and the messages of their consoles."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.messages: list[str] = []

    def open(self, url: str, **options: Any) -> Page:
        context = self._browser.new_context(**options)
        context.set_default_timeout(15_000)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self._on_message(message.type, message.text))
        page.on("pageerror", lambda error: self._on_message("error", str(error)))
        page.goto(url)
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()

    def _on_message(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.messages.append(text)


@pytest.fixture
def pages(browser: Browser) -> Iterator[Pages]:
    """Open pages; fails if their consoles have errors or warnings afterwards."""
    opened = Pages(browser)
    yield opened
    opened.close()
    unexpected = [text for text in opened.messages if not is_expected(text)]
    assert not unexpected, unexpected


def is_expected(text: str) -> bool:
    """Chromium reports failed requests; a test may stop the server on purpose."""
    return text.startswith("Failed to load resource")
