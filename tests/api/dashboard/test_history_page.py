"""Charts over days, and over times in the past: chosen, zoomed, compared, saved and linked."""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Page, expect
from support.folding import behind
from support.history import archive
from support.processes import Server
from support.site import Site
from support.waiting import wait_until

from dashboard.accessibility import check_everywhere, check_page
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
        site.post(
            [
                {
                    "device": device,
                    "recorded_at": now_s - hour * 3600,
                    "speed": base + hour % 24,
                    "oil_temperature": 90,
                }
                for device, base in (("recent", 50), ("second", 150))
            ]
        )
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
    expect(page.locator(".metric .current").first).not_to_have_text("\N{EN DASH}")
    return page


def span(page: Page) -> tuple[float, float]:
    """From and to of the URL, in seconds."""
    fields = parse_qs(str(page.evaluate("location.hash")).partition("?")[2])
    begin, end = (datetime.fromisoformat(fields[name][0]).timestamp() for name in ("from", "to"))
    return begin, end


def drag(page: Page, begin: float, end: float) -> None:
    """Drag over the first chart, from one share of its width to another."""
    box = page.locator(".u-over").first.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * begin, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * (begin + end) / 2, y)
    page.mouse.move(box["x"] + box["width"] * end, y)
    page.mouse.up()


def set_span(page: Page, begin_s: float, end_s: float) -> None:
    for name, at_s in (("From", begin_s), ("To", end_s)):
        text = datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M")
        page.get_by_label(name, exact=True).fill(text)


def test_charts_of_a_week_and_a_month_come_from_the_history(past: Site, pages: Pages):
    page = open_device(pages, past, "recent")
    for window, readings in (("7d", 34), ("30d", 96)):
        page.get_by_role("radio", name=window).check()
        chosen = page.get_by_role("region", name="speed").locator("tr.chosen")
        expect(chosen.locator("th")).to_have_text(window, timeout=15_000)
        expect(chosen.locator("td").last).to_have_text(str(readings))
        wait_until(lambda: coloured(page), f"points in the chart of {window}")
    expect(page.locator(".note").first).to_have_text("")


def test_the_newest_readings_of_a_silent_device_are_one_click_away(past: Site, pages: Pages):
    page = open_device(pages, past, "old")
    page.get_by_role("radio", name="30d").check()
    page.get_by_role("button", name="Newest readings").click()
    wait_until(lambda: len(coloured(page)) > 50, "the readings of 2020")
    expect(page.get_by_label("To", exact=True)).to_have_value("2020-05-20T18:40")
    page.get_by_role("button", name="Earlier").click()
    wait_until(lambda: not coloured(page), "an empty chart")
    page.get_by_role("button", name="Later").click()
    wait_until(lambda: len(coloured(page)) > 50, "the readings of 2020 again")
    page.get_by_role("button", name="Now", exact=True).click()
    expect(page.get_by_label("To", exact=True)).to_have_value("")


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


def test_a_time_is_chosen_then_zoomed_and_moved(past: Site, pages: Pages):
    page = open_device(pages, past, "recent")
    day_s = time.time() // 60 * 60 - DAY_S
    set_span(page, day_s - 10 * DAY_S, day_s)
    expect(page).to_have_url(re.compile("from="))
    assert span(page) == (day_s - 10 * DAY_S, day_s)
    wait_until(lambda: len(coloured(page)) > 20, "the readings of ten days")
    drag(page, 0.25, 0.75)
    wait_until(lambda: span(page)[0] > day_s - 8 * DAY_S, "a zoomed chart")
    begin, end = span(page)
    assert end - begin == pytest.approx(5 * DAY_S, rel=0.1)
    page.keyboard.down("Shift")
    drag(page, 0.25, 0.75)
    page.keyboard.up("Shift")
    wait_until(lambda: span(page)[0] < begin, "an earlier time")
    assert span(page)[0] == pytest.approx(begin - 2.5 * DAY_S, abs=DAY_S / 2)
    page.locator(".u-over").first.dblclick()
    wait_until(lambda: span(page)[1] - span(page)[0] > 9 * DAY_S, "twice the time")
    page.get_by_role("button", name="Zoom in").click()
    wait_until(lambda: span(page)[1] - span(page)[0] < 6 * DAY_S, "half of the time")
    page.go_back()
    page.go_back()
    page.go_back()
    wait_until(lambda: span(page) == (begin, end), "what was zoomed first")
    set_span(page, day_s, day_s - DAY_S)
    expect(page.get_by_text("From must be before To")).to_be_visible()


def test_devices_are_compared_with_one_cursor_over_all_charts(past: Site, pages: Pages):
    page = open_device(pages, past, "recent")
    page.get_by_role("radio", name="7d").check()
    page.get_by_label("Compare with another device").fill("second")
    page.keyboard.press("Enter")
    expect(page.locator(".legend .other").first).to_have_text("second")
    expect(page).to_have_url(re.compile("with=second"))
    speed, oil = (page.get_by_role("region", name=name) for name in ("speed", "oil_temperature"))

    area = speed.locator(".u-over")
    box = area.bounding_box()
    assert box is not None

    def tips() -> list[str]:
        """Between the readings there is nothing to show."""
        for share in range(40, 60, 2):
            area.hover(position={"x": box["width"] * share / 100, "y": 20})
            found = [card.locator(".tip").inner_text() for card in (speed, oil)]
            if all("second" in tip for tip in found):
                return found
        return []

    def is_one_cursor() -> bool:
        """One chart may still show the time before."""
        return len({tip.partition("   ")[0] for tip in tips()}) == 1

    wait_until(is_one_cursor, "both devices in both charts, at the same time")
    page.get_by_role("button", name="Remove second").click()
    expect(page.locator(".legend .other")).to_have_count(0)


@pytest.mark.sample
def test_the_link_and_the_csv_file_have_what_is_seen(past: Site, pages: Pages, tmp_path: Path):
    page = open_device(pages, past, "recent")
    now_s = time.time() // 60 * 60
    set_span(page, now_s - 9 * DAY_S, now_s - DAY_S)
    page.get_by_label("Units").select_option("US units")
    page.get_by_label("Compare with another device").fill("second")
    page.keyboard.press("Enter")
    expect(page.locator(".legend .other").first).to_have_text("second")
    rows = saved(page, tmp_path)
    assert {row["device"] for row in rows} == {"recent", "second"}
    assert {row["unit"] for row in rows} == {"mph", "degF"}
    assert {row["mean"] for row in rows if row["unit"] == "degF"} == {"194"}
    times = [datetime.fromisoformat(row["time"]).timestamp() for row in rows]
    assert now_s - 9 * DAY_S <= min(times) < max(times) <= now_s - DAY_S
    other = pages.open(str(page.get_by_text("Link to this view").evaluate("link => link.href")))
    expect(other.locator(".legend .other").first).to_have_text("second")
    expect(other.get_by_label("Units")).to_have_value("us")
    wait_until(lambda: saved(other, tmp_path) == rows, "the same file from the link")


def saved(page: Page, folder: Path) -> list[dict[str, str]]:
    """The CSV file of the page."""
    wait_until(lambda: coloured(page), "a chart")
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    file = folder / "seen.csv"
    download.value.save_as(file)
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_the_plausible_band_is_drawn(past: Site, pages: Pages):
    past.post({"device": "wild", "speed": 900})
    page = open_device(pages, past, "wild")
    expect(page.locator(".legend .limit")).to_have_text("plausible -100 to 500")
    page.get_by_role("radio", name="15m").check()
    top = """host => {
      const copy = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
      copy.drawImage(host.querySelector('canvas'), -200, -14);
      return copy.getImageData(0, 0, 1, 1).data[3];
    }"""
    wait_until(lambda: page.locator(".chart").evaluate(top) > 0, "a coloured area above 500")


def test_axe_finds_no_serious_issue_with_compared_devices(past: Site, pages: Pages):
    page = pages.open(f"{past.url}/#/device/recent?window=7d&with=second,old")
    expect(page.locator(".legend .other")).to_have_count(4)
    check_everywhere(page)


def test_the_driver_view_fills_a_phone(past: Site, pages: Pages):
    past.post(
        {
            "device": "driven",
            "speed": 61.2,
            "engine_temperature": 900,
            "rpm": 123_456_789,
            "a": 1,
            "b": 2,
        }
    )
    page = pages.open(f"{past.url}/#/device/driven", viewport={"width": 390, "height": 800})
    page.get_by_role("link", name="Driver view").click()
    expect(page.locator(".tile")).to_have_count(4)
    expect(page.get_by_role("region", name="speed").locator(".large")).to_have_text("61.2")
    hot = page.get_by_role("region", name="engine_temperature")
    expect(hot.locator(".odd")).to_contain_text("outside -60 to 250")
    check_page(page)
    fits = "tiles => tiles.every((tile) => tile.scrollWidth <= tile.clientWidth)"
    assert page.locator(".tile").evaluate_all(fits)
    page.locator("summary").click()
    page.get_by_role("checkbox", name="rpm").uncheck()
    expect(page.locator(".tile")).to_have_count(3)
    expect(page).to_have_url(re.compile("metrics="))
    past.post({"device": "driven", "speed": 62.5})
    expect(page.get_by_role("region", name="speed").locator(".large")).to_have_text("62.5")
    sizes = "each => parseFloat(getComputedStyle(each).fontSize)"
    assert page.get_by_role("region", name="speed").locator(".large").evaluate(sizes) > 60
    page.set_viewport_size({"width": 800, "height": 390})
    assert page.evaluate("document.documentElement.scrollHeight") <= 390
    page.get_by_role("link", name="Exit").click()
    expect(page.get_by_role("radio", name="1m")).to_be_visible()
