"""Charts and the list show single readings, gaps and implausible values."""

from __future__ import annotations

import time
from typing import Any

from playwright.sync_api import Locator, Page, expect
from support.site import Site
from support.waiting import wait_until

from dashboard.conftest import Pages
from dashboard.test_page import row

# The pixel columns with the colour of a line: more saturated than the grey grid.
_COLOURED = """host => {
  const canvas = host.querySelector('canvas');
  const { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, width, height);
  const found = [];
  for (let x = 0; x < width; x += 1) {
    for (let y = 0; y < height; y += 1) {
      const [r, g, b, a] = data.subarray((y * width + x) * 4, (y * width + x) * 4 + 4);
      if (a > 128 && Math.max(r, g, b) - Math.min(r, g, b) > 90) { found.push(x); break; }
    }
  }
  return found;
}"""
_SERIES = """async given => {
  const { Series } = await import('/dashboard/series.js');
  const series = new Series();
  series.seed(given.slot_ms, given.slots);
  given.live.forEach(([t, value]) => series.add(t, value, value));
  return series.columns(given.from ?? 0);
}"""


def chart(page: Page, metric: str = "speed") -> Locator:
    return page.get_by_role("region", name=metric).locator(".chart")


def coloured(page: Page) -> list[int]:
    return list(chart(page).evaluate(_COLOURED))


def columns(page: Page, **given: Any) -> list[list[float | None]]:
    return list(page.evaluate(_SERIES, {"slot_ms": 1000, "slots": [], "live": [], **given}))


def slot(second: int, mean: float) -> dict[str, Any]:
    from_ = f"1970-01-01T00:{second // 60:02}:{second % 60:02}Z"
    return {"from": from_, "count": 1, "mean": mean, "min": mean, "max": mean}


def test_a_single_reading_is_visible_in_every_window(site: Site, pages: Pages):
    site.post({"device": "single", "speed": 50})
    page = pages.open(f"{site.url}/#/device/single")
    for window in ("1m", "15m", "1h", "24h"):
        page.get_by_role("radio", name=window).check()
        wait_until(lambda: coloured(page), f"a point in the window {window}")


def test_a_single_slot_of_the_past_is_visible(site: Site, pages: Pages):
    for age_s, value in ((600, 50), (0, 50)):
        site.post({"device": "past-slot", "recorded_at": time.time() - age_s, "speed": value})
    page = pages.open(f"{site.url}/#/device/past-slot")
    page.get_by_role("radio", name="15m").check()

    def are_apart() -> bool:
        found = coloured(page)
        return len(found) < 40 and found[-1] - found[0] > 200

    wait_until(are_apart, "two points, and no line between them")


def test_slots_without_readings_break_the_line(site: Site, pages: Pages):
    page = pages.open(site.url)
    times, _, means, highs, lows = columns(page, slots=[slot(1, 5), slot(2, 6), slot(4, 7)])
    assert times == [1.5, 2.5, 3.5, 4.5]
    assert means == highs == lows == [5, 6, None, 7]


def test_a_pause_breaks_the_line_of_live_readings(site: Site, pages: Pages):
    page = pages.open(site.url)
    live = [[1.2, 5], [2.9, 6], [4.0, 7]]
    assert columns(page, live=live)[1] == [5, 6, None, 7]
    assert columns(page, live=live, slot_ms=60_000)[1] == [5, 6, 7]


def test_slots_fill_in_where_there_are_no_live_readings(site: Site, pages: Pages):
    page = pages.open(site.url)
    slots = [slot(second, second) for second in range(1, 7)]
    times, current, means, _, _ = columns(page, slots=slots, live=[[2.2, 20], [5.7, 50]])
    assert times == [1.5, 2.2, 3.5, 4.5, 5.7, 6.5]
    assert current == [None, 20, None, None, 50, None]
    assert means == [1, 20, 3, 4, 50, 6]


def test_marks_an_implausible_value_with_text(site: Site, pages: Pages):
    site.post({"device": "hot-1", "engine_temperature": 900, "speed": 50})
    site.post({"device": "hot-2", "engine_temperature": 90})
    page = pages.open(f"{site.url}/#/?prefix=hot-")
    expect(row(page, "hot-1").locator("div.odd")).to_have_text("Not plausible: engine temperature")
    expect(row(page, "hot-2").locator("div.odd")).to_have_text("")
    page.goto(f"{site.url}/#/device/hot-1")
    card = page.get_by_role("region", name="engine_temperature")
    expect(card.get_by_role("status").first).to_contain_text("Not plausible: outside -60 to 250")
    expect(page.get_by_role("region", name="speed").locator(".odd")).to_be_hidden()
    site.post({"device": "hot-1", "engine_temperature": 95})
    expect(card.locator(".odd")).to_be_hidden()


def test_marks_an_implausible_value_that_the_row_does_not_show(site: Site, pages: Pages):
    values = {f"a{n}": 1 for n in range(5)} | {"engine_temperature": 900}
    site.post({"device": "many-hot", **values})
    page = pages.open(f"{site.url}/#/?prefix=many-hot", viewport={"width": 390, "height": 800})
    expect(row(page, "many-hot").locator("div.odd")).to_be_visible()
