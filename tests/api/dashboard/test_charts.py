"""Charts, figures and hidden tabs of the dashboard; a page needs bounded memory."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from support.processes import request
from support.site import Site
from support.waiting import wait_until

from dashboard.conftest import Pages
from dashboard.test_page import current, row

pytestmark = pytest.mark.browser

# The pixel columns with the colour of a line: more saturated than the grey grid.
_COLOURED = """host => {
  const canvas = host.querySelector('canvas');
  if (canvas === null) { return []; }  // not drawn yet
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

_FEED = """async chunks => {
  const { parser } = await import('/dashboard/sse.js');
  let events = 0;
  const feed = parser(() => { events += 1; });
  try {
    for (let i = 0; i < chunks.times; i += 1) feed(chunks.text);
  } catch (error) { return error.message; }
  return events;
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
        return 0 < len(found) < 40 and found[-1] - found[0] > 200

    wait_until(are_apart, "two points, and no line between them")


def test_slots_without_readings_break_the_line(site: Site, pages: Pages):
    page = pages.open(site.url)
    times, *_, means, highs, lows = columns(page, slots=[slot(1, 5), slot(2, 6), slot(4, 7)])
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
    times, values, averages, means, _, _ = columns(page, slots=slots, live=[[2.2, 20], [5.7, 50]])
    assert times == [1.5, 2.2, 3.5, 4.5, 5.7, 6.5]
    assert values == [None, 20, None, None, 50, None]
    assert averages == [None, 20, None, None, 50, None]  # of the newest readings
    assert means == [1, None, 3, 4, None, 6]  # of a slot


def test_marks_an_implausible_value_with_text(site: Site, pages: Pages):
    site.post({"device": "hot-1", "engine_temperature": 900, "speed": 50})
    site.post({"device": "hot-2", "engine_temperature": 90})
    page = pages.open(f"{site.url}/#/?q=hot-")
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
    page = pages.open(f"{site.url}/#/?q=many-hot", viewport={"width": 390, "height": 800})
    expect(row(page, "many-hot").locator("div.odd")).to_be_visible()


def test_a_chart_keeps_three_thousand_live_points(site: Site, pages: Pages):
    page = pages.open(site.url)
    kept, last = page.evaluate("""async () => {
      const { Series } = await import('/dashboard/series.js');
      const series = new Series();
      for (let t = 0; t < 20_000; t += 1) series.add(t / 10, t, t);
      return [series.live.length, series.live.at(-1)[1]];
    }""")
    assert kept <= 3_000
    assert last == 19_999


def test_closes_the_connection_on_an_oversized_event(site: Site, pages: Pages):
    page = pages.open(site.url)
    chunk = "x" * 100_000
    for text in (chunk, f"data: {chunk}\n"):
        assert page.evaluate(_FEED, {"text": text, "times": 20}) == "an event is too large"
    assert page.evaluate(_FEED, {"text": f"data: {chunk}\n\n", "times": 20}) == 20


def test_a_trend_keeps_sixty_values(site: Site, pages: Pages):
    page = pages.open(site.url)
    assert (
        page.evaluate("""async () => {
      const { Spark } = await import('/dashboard/spark.js');
      const spark = new Spark();
      for (let i = 0; i < 1_000; i += 1) spark.add(i);
      return spark.values.length;
    }""")
        == 60
    )


def test_a_list_shows_at_most_fifty_devices(site: Site, pages: Pages):
    page = pages.open(f"{site.url}/#/?q=crowd-")
    expect(page.get_by_role("status")).to_have_text("Live")
    site.post([{"device": f"crowd-{n:03}", "n": n} for n in range(150)])
    expect(page.locator("table.fleet tbody tr")).to_have_count(50)
    assert page.locator("table.fleet tbody tr").count() == 50


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
    expect(card.locator(".current")).to_have_text("90")
    page.get_by_role("radio", name="15m").check()
    area, tip = card.locator(".u-over"), card.locator(".tip")
    box = area.bounding_box()
    assert box is not None

    def tip_text() -> str:
        area.hover(position={"x": box["width"] * 0.1, "y": box["height"] / 2})
        area.hover(position={"x": box["width"] * 0.2, "y": box["height"] / 2})
        return tip.inner_text()

    wait_until(lambda: "mean 81   80 to 82" in tip_text(), "the oldest slot")


def set_hidden(page: Page, *, hidden: bool) -> None:
    """Simulate switching tabs: a headless browser considers all tabs visible."""
    page.evaluate(
        """hidden => {
          Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
          document.dispatchEvent(new Event('visibilitychange'));
        }""",
        hidden,
    )


def test_the_seventh_tab_loads(site: Site, pages: Pages):
    first = pages.open(site.url)
    tabs = [first]
    for _ in range(6):
        expect(tabs[-1].get_by_role("status")).to_have_text("Live")
        set_hidden(tabs[-1], hidden=True)
        tab = first.context.new_page()
        tab.goto(site.url)
        tabs.append(tab)
    expect(tabs[6].get_by_role("status")).to_have_text("Live")
    expect(tabs[0].get_by_role("status")).to_have_text("Paused")


def test_a_visible_tab_resumes_after_its_last_event(site: Site, pages: Pages):
    site.post({"device": "tab-1", "speed": 1})
    page = pages.open("about:blank")
    requests: list[Any] = []
    page.on("request", lambda sent: requests.append(sent) if "/v1/live" in sent.url else None)
    page.goto(f"{site.url}/#/?q=tab-")
    expect(current(page, "tab-1")).to_have_text("1")
    page.route("**/api/v1/fleet*", lambda route: route.abort())
    site.post({"device": "tab-1", "speed": 1.5})
    expect(current(page, "tab-1")).to_have_text("1.5")  # by an event
    set_hidden(page, hidden=True)
    expect(page.get_by_role("status")).to_have_text("Paused")
    page.unroute("**/api/v1/fleet*")
    before = len(requests)
    site.post({"device": "tab-1", "speed": 2})
    site.post({"device": "tab-2", "speed": 3})
    assert len(requests) == before
    set_hidden(page, hidden=False)
    expect(current(page, "tab-1")).to_have_text("2")
    expect(current(page, "tab-2")).to_have_text("3")
    expect(page.get_by_role("status")).to_have_text("Live")
    assert re.fullmatch(r"\d+-[0-9a-f]{8}", requests[before].headers["last-event-id"])


def test_a_chart_has_no_gap_after_its_tab_was_hidden(site: Site, pages: Pages):
    site.post({"device": "tab-chart", "speed": 1})
    page = pages.open(f"{site.url}/#/device/tab-chart")
    shown = page.locator(".metric .current")
    expect(shown).to_have_text("1")
    set_hidden(page, hidden=True)
    for value in range(2, 6):
        site.post({"device": "tab-chart", "speed": value})
    with page.expect_request(re.compile("/history")):  # of the time in between
        set_hidden(page, hidden=False)
    expect(shown).to_have_text("5")
    expect(page.locator(".stats tbody tr").first).to_contain_text("5")
