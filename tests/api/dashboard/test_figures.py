"""Values that are not pushed: units, history and the health of the pipeline."""

from __future__ import annotations

import re
import time
from typing import Any

from playwright.sync_api import Locator, Page, expect
from support.processes import request
from support.site import Site
from support.waiting import wait_until

from dashboard.conftest import Pages


def cell(page: Page, name: str) -> Locator:
    """A value of the health strip."""
    return page.locator(".health .cell").filter(has_text=name).locator("dd")


def test_the_health_strip_shows_rate_workers_and_losses(site: Site, pages: Pages):
    page = pages.open(site.url)
    for _ in range(5):
        site.post({"device": "healthy", "speed": 1})
    expect(cell(page, "Workers")).to_have_text("1")
    expect(cell(page, "Refused")).to_have_text("0")
    expect(cell(page, "Lost")).to_have_text("0")
    expect(cell(page, "Rate")).to_have_text(re.compile(r"\d+/s"))


def test_the_health_strip_shows_a_full_backlog_without_aggregators(own_site: Any, pages: Pages):
    site = own_site(partitions=1, stream_max_entries=100, aggregators=0)
    page = pages.open(site.url)
    expect(cell(page, "Refused")).to_have_text("0")

    def is_refused() -> bool:
        three = [{"device": "full", "speed": n} for n in range(3)]
        return request(site.url, "POST", "/record", three, {})[0] == 503

    wait_until(is_refused, "a full backlog")
    expect(cell(page, "Refused")).to_have_text("3 !")
    expect(cell(page, "Workers")).to_have_text("0 !")


def test_shows_the_units_of_the_catalogue(site: Site, pages: Pages):
    site.post({"device": "units", "engine_temperature": 90, "speed": 50, "own.idea": 3})
    page = pages.open(f"{site.url}/#/device/units")
    for name, unit in (("engine_temperature", "°C"), ("speed", "km/h"), ("own.idea", "")):
        expect(page.get_by_role("region", name=name).locator(".unit")).to_have_text(unit)


def test_a_chart_shows_the_history(site: Site, pages: Pages):
    minute_s = time.time() // 60 * 60 - 10 * 60
    for later_s, value in ((1, 80), (2, 82), (301, 85)):
        site.post({"device": "past", "recorded_at": minute_s + later_s, "speed": value})
    site.post({"device": "past", "speed": 90})
    page = pages.open(f"{site.url}/#/device/past")
    card = page.get_by_role("region", name="speed")
    expect(card.locator(".current")).to_have_text("90.00")
    page.get_by_role("radio", name="15m").check()
    area, tip = card.locator(".u-over"), card.locator(".tip")
    box = area.bounding_box()
    assert box is not None

    def tip_text() -> str:
        area.hover(position={"x": box["width"] * 0.1, "y": box["height"] / 2})
        area.hover(position={"x": box["width"] * 0.2, "y": box["height"] / 2})
        return tip.inner_text()

    wait_until(lambda: "average 81.00   80.00 to 82.00" in tip_text(), "the oldest slot")


def test_the_decimals_of_a_value_depend_on_its_magnitude(site: Site, pages: Pages):
    page = pages.open(f"{site.url}/#/?prefix=size-")
    for name, value, text in (("zero", 0, "0"), ("small", 0.25, "0.25"), ("tiny", 0.012, "0.0120")):
        site.post({"device": f"size-{name}", "speed": value})
        line = page.locator("table.fleet tbody tr").filter(has_text=f"size-{name}")
        expect(line.locator(".current")).to_have_text(text)
        expect(line.locator(".average")).to_have_text(f"avg {text}")
