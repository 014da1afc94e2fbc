"""Alerts in a browser: the list, the badge, the filter, the charts, and silences."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect
from support.processes import Server
from support.site import Site

from dashboard.accessibility import check_everywhere
from dashboard.conftest import Pages
from dashboard.test_page import row
from tributary.model.catalogue import DEFAULT_FILE

pytestmark = pytest.mark.browser

RULES = """
[engine_rpm.alerts.screaming]
above = 6000
severity = "critical"
[speed.alerts.too_fast]
above = 120
clear_below = 100
devices = "car-*"
[speed.alerts.creeping]
below = 1
for = "1h"
severity = "info"
"""


@pytest.fixture(scope="module")
def alerting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("alerting")
    rules = folder / "rules.toml"
    rules.write_text(DEFAULT_FILE.read_text() + RULES)
    server = Server(folder / "redis")
    site = Site(server, stale_after_ms=600_000, metrics_file=str(rules))
    yield site
    site.close()
    server.close()


def items(page: Page) -> list[str]:
    return page.locator(".alerts h2").all_inner_texts()


def canvas_has(page: Page, metric: str, colour: str) -> bool:
    """Whether the chart of a metric has pixels of a custom property's colour."""
    return bool(
        page.get_by_role("region", name=metric, exact=True).locator("canvas").evaluate(
            """(canvas, name) => {
              const probe = new OffscreenCanvas(1, 1).getContext('2d');
              probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name);
              probe.fillRect(0, 0, 1, 1);
              const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
              const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
              copy.drawImage(canvas, 0, 0);
              const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
              for (let i = 0; i < data.length; i += 4) {
                if (data[i + 3] > 10 && Math.abs(data[i] - r) + Math.abs(data[i + 1] - g)
                  + Math.abs(data[i + 2] - b) < 24) return true;
              }
              return false;
            }""",
            colour,
        )
    )  # fmt: skip


@pytest.mark.sample
def test_alerts_appear_without_a_reload_and_can_be_silenced(alerting: Site, pages: Pages):
    alerting.post({"device": "car-1", "speed": 90, "engine_rpm": 2000})
    page = pages.open(f"{alerting.url}/#/alerts")
    expect(page.locator(".empty code").last).to_contain_text("alerts.overheating")
    expect(page).to_have_title("Alerts · Tributary")

    alerting.post({"device": "car-1", "speed": 130})
    expect(page.locator(".alerts li")).to_have_count(1, timeout=5_000)
    expect(page.locator(".alerts li")).to_contain_text("130 km/h, above 120 km/h")
    alerting.post([{"device": "car-2", "engine_rpm": 6500}, {"device": "van-1", "speed": 0}])
    expect(page.locator(".alerts li")).to_have_count(3, timeout=5_000)
    assert items(page) == ["car-2", "car-1", "van-1"]  # critical, warning, pending
    expect(page.locator("#firing")).to_have_text("2")
    expect(page).to_have_title("(2) Alerts · Tributary")

    fast = page.locator(".alerts li").filter(has_text="car-1")
    fast.get_by_text("Silence …").click()
    expect(fast.get_by_label("Until")).not_to_have_value("")
    fast.get_by_role("button", name="Silence", exact=True).click()
    expect(fast).to_contain_text("silenced until")
    assert alerting.get("/api/v1/alerts/silences")[1]["silences"][0]["device"] == "car-1"
    fast.get_by_role("button", name="End silence").click()
    expect(fast).not_to_contain_text("silenced until")

    alerting.post({"device": "car-2", "engine_rpm": 5000})
    expect(page.locator(".alerts li")).to_have_count(2, timeout=5_000)
    expect(page.locator("#firing")).to_have_text("1")
    fast.get_by_role("link", name="car-1").click()
    expect(page).to_have_title("(1) car-1 · Tributary")
    speed = page.get_by_role("region", name="speed", exact=True)
    expect(speed).to_contain_text("too_fast is firing: above 120 km/h")
    expect(speed.locator(".legend")).to_contain_text("too_fast: above 120 km/h")
    expect(speed.locator(".legend .firing")).to_have_count(1)
    for _ in range(50):
        if canvas_has(page, "speed", "--warn"):
            break
        page.wait_for_timeout(100)
    else:
        pytest.fail("the limit is not in the chart")


@pytest.mark.sample
def test_an_alert_during_a_read_is_read_after_it(alerting: Site, pages: Pages):
    alerting.post({"device": "car-8", "speed": 90})
    page = pages.open(f"{alerting.url}/#/alerts")
    expect(page.locator(".empty, .alerts li")).not_to_have_count(0)

    def answer_late(route: Route) -> None:
        found = route.fetch()
        alerting.post({"device": "car-8", "speed": 140})
        page.wait_for_timeout(400)  # the live update arrives
        route.fulfill(response=found)

    page.route("**/api/v1/alerts?*", answer_late, times=1)
    alerting.post({"device": "car-9", "speed": 140})
    expect(page.locator(".alerts li").filter(has_text="car-9")).to_have_count(1)
    expect(page.locator(".alerts li").filter(has_text="car-8")).to_have_count(1, timeout=5_000)


def test_the_list_filters_devices_that_are_alerting(alerting: Site, pages: Pages):
    alerting.post([{"device": "car-5", "speed": 140}, {"device": "car-6", "speed": 50}])
    page = pages.open(f"{alerting.url}/#/?q=car-")
    expect(row(page, "car-5")).to_contain_text("Firing: too_fast")
    choice = page.get_by_role("radio", name="Alerting")
    expect(choice).to_have_accessible_name(re.compile("Alerting [1-9]"), timeout=10_000)
    choice.check()
    expect(row(page, "car-5")).to_be_visible()
    expect(row(page, "car-6")).to_have_count(0)
    assert "state=alerting" in page.url


def test_axe_finds_no_serious_issue_in_alerts(alerting: Site, pages: Pages):
    now_s = time.time()
    alerting.post(
        [{"device": "car-5", "recorded_at": now_s - 40 + n, "speed": 100 + n} for n in range(40)]
        + [{"device": "car-7" + "x" * 60, "engine_rpm": 7000}, {"device": "van-2", "speed": 0}]
    )
    page = pages.open(f"{alerting.url}/#/alerts", reduced_motion="reduce")
    item = page.locator(".alerts li").filter(has_text="car-5").first
    expect(item.get_by_text("above 120 km/h")).to_be_visible()
    item.get_by_text("Silence …").click()
    check_everywhere(page)
    page.goto(f"{alerting.url}/#/device/car-5")
    expect(page.get_by_role("region", name="speed", exact=True)).to_contain_text("too_fast")
    check_everywhere(page)
    page.goto(f"{alerting.url}/#/?state=alerting")
    expect(row(page, "car-5")).to_contain_text("Firing: too_fast")
    check_everywhere(page)
