"""The memory of a page is bounded, however long it is open."""

from __future__ import annotations

from playwright.sync_api import expect
from support.site import Site

from dashboard.conftest import Pages

_FEED = """async chunks => {
  const { parser } = await import('/dashboard/sse.js');
  let events = 0;
  const feed = parser(() => { events += 1; });
  try {
    for (let i = 0; i < chunks.times; i += 1) feed(chunks.text);
  } catch (error) { return error.message; }
  return events;
}"""


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
    page = pages.open(f"{site.url}/#/?prefix=crowd-")
    expect(page.get_by_role("status")).to_have_text("Live")
    site.post([{"device": f"crowd-{n:03}", "n": n} for n in range(150)])
    expect(page.locator("table.fleet tbody tr")).to_have_count(50)
    assert page.locator("table.fleet tbody tr").count() == 50
