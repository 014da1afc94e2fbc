"""What a page keeps in memory is bounded, however long it is open."""

from __future__ import annotations

from playwright.sync_api import expect
from support.site import Site

from dashboard.conftest import Watched

_FEED = """async pieces => {
  const { parser } = await import('/dashboard/sse.js');
  let events = 0;
  const feed = parser(() => { events += 1; });
  try {
    for (let i = 0; i < pieces.times; i += 1) feed(pieces.text);
  } catch (error) { return error.message; }
  return events;
}"""


def test_a_chart_keeps_three_thousand_live_points(site: Site, pages: Watched):
    page = pages.open(site.url)
    kept, last = page.evaluate("""async () => {
      const { Series } = await import('/dashboard/series.js');
      const series = new Series();
      for (let t = 0; t < 20_000; t += 1) series.add(t / 10, t, t);
      return [series.live.length, series.live.at(-1)[1]];
    }""")
    assert kept <= 3_000
    assert last == 19_999


def test_an_event_without_end_ends_the_connection_instead_of_filling_memory(
    site: Site, pages: Watched
):
    page = pages.open(site.url)
    piece = "x" * 100_000
    for text in (piece, f"data: {piece}\n"):
        assert page.evaluate(_FEED, {"text": text, "times": 20}) == "an event is too large"
    assert page.evaluate(_FEED, {"text": f"data: {piece}\n\n", "times": 20}) == 20


def test_a_trend_keeps_sixty_values(site: Site, pages: Watched):
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


def test_a_list_shows_fifty_devices_however_many_come(site: Site, pages: Watched):
    page = pages.open(f"{site.url}/#/?prefix=crowd-")
    expect(page.get_by_role("status")).to_have_text("Live")
    site.post([{"device": f"crowd-{n:03}", "n": n} for n in range(150)])
    expect(page.locator("table.fleet tbody tr")).to_have_count(50)
    assert page.locator("table.fleet tbody tr").count() == 50
