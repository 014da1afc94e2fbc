"""A real browser on a real site."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from support.processes import Server
from support.site import Site

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. A module at a time: its event loop would be in the way of other tests."""
    if CHROMIUM is None:
        assert not os.environ.get("CI"), "CI has to have chromium"
        pytest.skip("there is no chromium; apt-get install chromium")
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


class Watched:
    """Pages, and everything that their consoles said."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.said: list[str] = []

    def open(self, url: str, **options: Any) -> Page:
        context = self._browser.new_context(**options)
        context.set_default_timeout(15_000)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self._hear("error", str(error)))
        page.goto(url)
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.said.append(text)


@pytest.fixture
def pages(browser: Browser) -> Iterator[Watched]:
    """Open pages; afterwards their consoles must have said nothing bad."""
    watched = Watched(browser)
    yield watched
    watched.close()
    bad = [text for text in watched.said if not excusable(text)]
    assert not bad, bad


def excusable(text: str) -> bool:
    """Chromium itself reports a request that fails; a test may stop the server on purpose."""
    return text.startswith("Failed to load resource")
