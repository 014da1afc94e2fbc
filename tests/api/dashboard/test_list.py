"""The list of devices in a browser: filters, orders, pages, and the way back to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.folding import behind
from support.processes import Server
from support.site import Site
from support.waiting import wait_until

from dashboard.accessibility import check_page
from dashboard.conftest import Pages
from dashboard.test_page import current, row

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 800}
NUMBERS: list[tuple[str, list[Any], Any]] = [
    ("steady", [1.5], "1.5"),
    ("steady", [1.0, 1.25], "1"),
    ("steady", [0, 2e12], "0"),
    ("steady", [5, 2e12], "5"),
    ("steady", [42.375, 43.5], "42.38"),
    ("steady", [2100.4, 2000], "2,100"),
    ("steady", [123_456_789, 5], "123,456,789"),
    ("steady", [1_234_567_890.4], "1,234,567,890"),
    ("steady", [0.012], "0.012"),
    ("steady", [-0.0001, 80], "0"),
    ("steady", [1.23456e13], "1.235e13"),
    ("steady", [1.5e-9], "1.5e-9"),
    ("steady", [None], "\N{EN DASH}"),
    ("number", [123_456_789.5], "123,456,790"),
    ("number", [123_456_789], "123,456,789"),
    ("number", [99.123456], "99.123"),
    ("brief", [123_456_789], "123.457M"),
    ("brief", [-1_500_000], "-1.5M"),
    ("brief", [99.5], "99.5"),
    ("brief", [None], "\N{EN DASH}"),
    ("duration", [300], "5 min"),
    ("tickLabels", [[0, 0.5, 1]], ["0", "0.5", "1"]),
    ("tickLabels", [[123_456_700, 123_456_800]], ["123,456,700", "123,456,800"]),
    ("tickLabels", [[2e12, 2.5e12]], ["2e12", "2.5e12"]),
    ("tickLabels", [[1e-7, 2e-7]], ["1e-7", "2e-7"]),
    ("tickLabels", [[1.0001, 1.0002]], ["1.0001", "1.0002"]),
]


@pytest.fixture(scope="module")
def parked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """120 cars that report, of which two are implausible, and three vans that do not."""
    server = Server(tmp_path_factory.mktemp("parked"))
    site = Site(server, stale_after_ms=600_000)
    cars = [
        {
            "device": f"car-{n}",
            "speed": n,
            "engine_temperature": 90,
            "rpm": 123_456_789,
            "load": 1.5,
        }
        for n in range(1, 121)
    ]
    site.post([*cars, {"device": "car-7", "speed": 900}, {"device": "car-8", "speed": 900}])
    vans = [{"device": f"van-{n}", "recorded_at": 1.7e9 + n, "speed": 5} for n in (1, 2, 3)]
    site.post(vans)
    wait_until(lambda: not behind(server.client, site.settings), "the readings")
    yield site
    site.close()
    server.close()


@pytest.fixture
def page(parked: Site, pages: Pages) -> Page:
    opened = pages.open(f"{parked.url}/", timezone_id="UTC")
    expect(row(opened, "car-1")).to_be_visible()
    return opened


def listed(page: Page) -> list[str]:
    return page.locator("table.fleet tbody a").all_inner_texts()


def expect_first(page: Page, *names: str) -> None:
    expect(page.locator("table.fleet tbody a").first).to_have_text(names[0])
    assert listed(page)[: len(names)] == list(names)


def test_names_are_in_natural_order(page: Page):
    expect_first(page, *(f"car-{n}" for n in range(1, 12)))


@pytest.mark.sample
def test_states_are_counted_and_filter(page: Page):
    for state, count, first in (
        ("Stale", 3, "van-1"), ("Implausible", 2, "car-7"), ("Reporting", 120, "car-1"),
    ):  # fmt: skip
        choice = page.get_by_role("radio", name=state)
        expect(choice).to_have_accessible_name(f"{state} {count}")
        choice.check()
        expect(page.locator("table.fleet tbody a").first).to_have_text(first)
        assert f"state={state.lower()}" in page.url
    page.get_by_role("radio", name="All").check()
    expect(page.locator(".range")).to_have_text("1 to 50 of 123")


def test_sorts_by_metric_and_age_and_shows_the_metric_first(page: Page):
    page.get_by_label("Sort by").select_option("load")
    page.get_by_label("Sort by").select_option("speed")
    page.get_by_role("button", name="sort descending").click()
    expect_first(page, "car-7", "car-8", "car-120")
    expect(row(page, "car-120").locator(".label").first).to_have_text("speed")
    page.get_by_label("Sort by").select_option("Age")
    expect_first(page, "van-1", "van-2", "van-3")


@pytest.mark.sample
def test_the_url_reproduces_the_list(page: Page, parked: Site):
    page.goto(f"{parked.url}/#/?q=AR-1&state=reporting&sort=-metric:speed&page=1")
    expect_first(page, "car-120", "car-119")
    expect(page.get_by_role("searchbox")).to_have_value("AR-1")
    page.reload()
    expect_first(page, "car-120", "car-119")
    page.goto(f"{parked.url}/#/?page=99")
    expect_first(page, "car-101")
    assert page.url.endswith("page=3")


def test_previous_works_after_back_and_the_way_from_a_device_keeps_the_list(page: Page):
    following = page.get_by_role("button", name="Next")
    following.click()
    expect_first(page, "car-51")
    following.click()
    expect_first(page, "car-101")
    page.go_back()
    expect_first(page, "car-51")
    page.get_by_role("button", name="Previous").click()
    expect_first(page, "car-1")
    page.get_by_role("searchbox").fill("car-1")
    expect(page.locator(".range")).to_have_text("1 to 32 of 32")
    for leave in (lambda: page.keyboard.press("Escape"), page.get_by_text("All devices").click):
        row(page, "car-12").get_by_role("link").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("car-12")
        leave()
        expect(page.get_by_role("searchbox")).to_have_value("car-1")
        expect(row(page, "car-12")).to_be_visible()


def test_a_phone_shows_what_it_hides(page: Page):
    more = row(page, "car-1").locator(".more:visible")
    expect(more).to_have_text("+1")
    page.set_viewport_size(PHONE)
    expect(more).to_have_text("+2")
    expect(row(page, "van-1")).to_have_count(0)
    page.get_by_role("searchbox").fill("van-1")
    expect(row(page, "van-1")).to_be_visible()
    expect(row(page, "van-1").locator(".more:visible:not(:empty)")).to_have_count(0)


def test_units_can_be_switched_and_are_remembered(page: Page):
    temperature = row(page, "car-1").locator(".value").filter(has_text="temperature")
    expect(temperature).to_contain_text(re.compile("90.*°C"))
    page.get_by_label("Units").select_option("US units")
    expect(temperature).to_contain_text(re.compile("194.*°F"))
    page.reload()
    expect(temperature).to_contain_text(re.compile("194.*°F"))


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 768)])
def test_nine_digits_fit(parked: Site, pages: Pages, scheme: Any, width: int):
    options = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    page = pages.open(f"{parked.url}/#/?q=car-1&sort=metric:rpm", **options)
    expect(current(page, "car-1")).to_have_text("123,456,789")
    overflowing = """() => [...document.querySelectorAll('.value, .cell, td, .now, .against')]
        .filter((each) => each.scrollWidth > each.clientWidth + 1).map((each) => each.textContent)"""
    assert page.evaluate(overflowing) == []
    check_page(page)
    page.goto(f"{parked.url}/#/device/car-1")
    card = page.get_by_role("region", name="rpm")
    expect(card.locator(".now .current")).to_have_text("123,456,789")
    day = card.get_by_role("row").filter(has_text="24h")
    expect(day.get_by_role("cell").first).to_have_text("123.457M")
    assert page.evaluate(overflowing) == []


def test_numbers_are_as_people_read_them(page: Page):
    shown = page.evaluate(
        """async (calls) => {
          const format = await import('/dashboard/format.js');
          return calls.map(([name, given]) => format[name](...given));
        }""",
        [[function, arguments] for function, arguments, _ in NUMBERS],
    )
    assert shown == [text for *_, text in NUMBERS]


def test_the_time_axis_has_a_date_where_it_changes(page: Page):
    labels = page.evaluate("""async () => {
      const { timeLabels } = await import('/dashboard/chart.js');
      const begin = Date.UTC(2026, 10, 25, 16) / 1000;
      const splits = [0, 6, 12].map((hour) => begin + hour * 3600);
      return timeLabels(splits, { scales: { x: { min: begin, max: begin + 86_400 } } });
    }""")
    assert labels == ["16:00\n25 Nov", "22:00", "04:00\n26 Nov"]
