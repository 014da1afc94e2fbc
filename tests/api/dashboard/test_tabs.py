"""Hidden tabs close their connection: a browser opens at most six to a server."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Page, expect
from support.site import Site
from support.waiting import wait_until

from dashboard.conftest import Pages
from dashboard.test_page import row


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
    page.goto(f"{site.url}/#/?prefix=tab-")
    expect(row(page, "tab-1")).to_contain_text("1.00")
    set_hidden(page, hidden=True)
    expect(page.get_by_role("status")).to_have_text("Paused")
    site.post({"device": "tab-1", "speed": 2})
    site.post({"device": "tab-2", "speed": 3})
    assert len(requests) == 1
    set_hidden(page, hidden=False)
    expect(row(page, "tab-1")).to_contain_text("2.00")
    expect(row(page, "tab-2")).to_contain_text("3.00")
    expect(page.get_by_role("status")).to_have_text("Live")
    assert len(requests) == 2
    assert re.fullmatch(r"\d+-[0-9a-f]{8}", requests[1].headers["last-event-id"])


def test_a_chart_has_no_gap_after_its_tab_was_hidden(site: Site, pages: Pages):
    site.post({"device": "tab-chart", "speed": 1})
    page = pages.open(f"{site.url}/#/device/tab-chart")
    current = page.locator(".metric .current")
    expect(current).to_have_text("1.00")
    set_hidden(page, hidden=True)
    for value in range(2, 6):
        site.post({"device": "tab-chart", "speed": value})
    histories: list[str] = []
    page.on("request", lambda sent: histories.append(sent.url) if "/history" in sent.url else None)
    set_hidden(page, hidden=False)
    expect(current).to_have_text("5.00")
    wait_until(lambda: page.evaluate("1") and histories, "the history of the time in between")
    expect(page.locator(".stats tbody tr").first).to_contain_text("5")
