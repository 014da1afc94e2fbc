"""Checks of a page in the browser with axe: no serious issue, and nothing wider than the page."""

from __future__ import annotations

from importlib import resources
from typing import Literal

from playwright.sync_api import Page

WIDTHS = (390, 768, 1280)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
AXE = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text()
SERIOUS = {"serious", "critical"}


def check_page(page: Page) -> None:
    """No serious issue, and nothing wider than the page."""
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(AXE)
    found = page.evaluate("axe.run()")
    serious = [
        (each["id"], [node["html"] for node in each["nodes"]][:3])
        for each in found["violations"]
        if each["impact"] in SERIOUS
    ]
    assert not serious, (page.viewport_size, serious)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def check_everywhere(page: Page) -> None:
    """The same at each width, light and dark."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            check_page(page)
