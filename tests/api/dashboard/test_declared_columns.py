"""The table of windows has columns for what the catalogue declares of a metric, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from support.processes import Server
from support.site import Site

from dashboard.conftest import Pages

pytestmark = pytest.mark.browser

CATALOGUE = """
[distance]
kind = "counter"
[latency]
quantiles = true
"""


def test_counters_and_quantiles_have_columns(browser: Browser, tmp_path: Path):
    (tmp_path / "metrics.toml").write_text(CATALOGUE)
    server = Server(tmp_path / "redis")
    site = Site(server, metrics_file=str(tmp_path / "metrics.toml"))
    for number in range(3):
        site.post({"device": "car-7", "distance": 10 * number, "latency": 5, "speed": 1})
    pages = Pages(browser)
    page = pages.open(f"{site.url}/#/device/car-7")
    for metric, titles, cells in (
        ("distance", ["increase", "per s"], {"increase": "20"}),
        ("latency", ["p50", "p95", "p99"], {"p50": "5", "p99": "5"}),
        ("speed", [], {}),
    ):
        card = page.get_by_role("region", name=metric, exact=True)
        head = card.locator("thead th")
        expect(head).to_have_text(["last", "mean", "min", "max", "s.d.", "readings", *titles])
        row = card.locator("tbody tr").filter(has=page.get_by_role("rowheader", name="15m"))
        for title, text in cells.items():
            at = 5 + titles.index(title)
            expect(row.locator("td").nth(at)).to_have_text(text)
    assert pages.messages == []
    pages.close()
    site.close()
    server.close()
