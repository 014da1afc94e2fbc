"""Charts over days, and over times in the past."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.folding import behind
from support.history import archive
from support.processes import Server
from support.site import Site
from support.waiting import wait_until

from dashboard.conftest import Pages
from dashboard.test_charts import coloured
from tributary.history.database import Database
from tributary.history.position import Gap
from tributary.history.store import begin
from tributary.model.clock import utc_ms
from tributary.store import keys

pytestmark = pytest.mark.browser

DAY_S = 86_400
YEAR_2020_S = 1_590_000_000  # May 2020


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with readings of 20 days, of 2020, and a history of them."""
    folder = tmp_path_factory.mktemp("past")
    server = Server(folder / "redis")
    site = Site(server, stale_after_ms=600_000)
    now_s = time.time()
    for hour in range(0, 20 * 24, 5):
        site.post({"device": "recent", "recorded_at": now_s - hour * 3600, "speed": 50 + hour % 24})
    site.post(
        [
            {"device": "old", "recorded_at": YEAR_2020_S - day * DAY_S, "speed": day}
            for day in range(9)
        ]
    )
    wait_until(lambda: not behind(server.client, site.settings), "the readings")
    archive(site.settings)
    yield site
    site.close()
    server.close()


def open_device(pages: Pages, site: Site, device: str) -> Page:
    page = pages.open(f"{site.url}/#/device/{device}", timezone_id="UTC")
    expect(page.locator(".metric .current")).not_to_have_text("\N{EN DASH}")
    return page


def test_charts_of_a_week_and_a_month_come_from_the_history(past: Site, pages: Pages):
    page = open_device(pages, past, "recent")
    for window, readings in (("7d", 34), ("30d", 96)):
        page.get_by_role("radio", name=window).check()
        chosen = page.locator("tr.chosen")
        expect(chosen.locator("th")).to_have_text(window)
        expect(chosen.locator("td").last).to_have_text(str(readings))
        wait_until(lambda: coloured(page), f"points in the chart of {window}")
    expect(page.locator(".note")).to_have_text("")


def test_the_newest_readings_of_a_silent_device_are_one_click_away(past: Site, pages: Pages):
    page = open_device(pages, past, "old")
    page.get_by_role("radio", name="30d").check()
    page.get_by_role("button", name="Newest readings").click()
    wait_until(lambda: len(coloured(page)) > 50, "the readings of 2020")
    expect(page.get_by_label("End of the charts")).to_have_value("2020-05-20T18:40")
    page.get_by_role("button", name="Earlier").click()
    wait_until(lambda: not coloured(page), "an empty chart")
    page.get_by_role("button", name="Later").click()
    wait_until(lambda: len(coloured(page)) > 50, "the readings of 2020 again")
    page.get_by_role("button", name="Now", exact=True).click()
    expect(page.get_by_label("End of the charts")).to_have_value("")


def test_a_chart_shows_what_the_history_lacks(past: Site, pages: Pages):
    database = Database.open(past.settings, migrate=False)
    now_ms = utc_ms()
    with begin(database, keys.partition_of("old", past.settings.partitions)) as transaction:
        transaction.note_gap(Gap(now_ms - 7_200_000, now_ms - 3_600_000, 12, 3_456))
    database.close()
    page = open_device(pages, past, "old")
    page.get_by_role("radio", name="30d").check()
    expect(page.locator(".note")).to_contain_text("Up to 3,456 readings")


def test_without_a_history_there_are_only_the_windows(own_site: Any, pages: Pages):
    site = own_site(history="off")
    site.post({"device": "short", "speed": 1})
    page = open_device(pages, site, "short")
    expect(page.get_by_role("radio", name="24h")).to_have_count(1)
    expect(page.get_by_role("radio", name="7d")).to_have_count(0)
    expect(page.get_by_role("button", name="Earlier")).to_be_hidden()
