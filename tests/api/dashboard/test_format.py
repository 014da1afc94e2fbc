"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from support.site import Site

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def blank(site: Site, browser: Browser) -> Iterator[Page]:
    """A page of the site, to import its modules."""
    page = browser.new_page(timezone_id="Europe/Berlin")
    page.goto(f"{site.url}/dashboard/icon.svg")
    yield page
    page.close()


def call(page: Page, function: str, *arguments: Any) -> Any:
    given = [function, list(arguments)]
    return page.evaluate(
        "async ([name, given]) => (await import('/dashboard/format.js'))[name](...given)", given
    )


@pytest.mark.parametrize(
    ("function", "arguments", "text"),
    [
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
    ],
)
def test_numbers(blank: Page, function: str, arguments: list[Any], text: Any):
    assert call(blank, function, *arguments) == text


def test_the_time_axis_has_a_date_where_it_changes(blank: Page):
    labels = blank.evaluate("""async () => {
      const { timeLabels } = await import('/dashboard/chart.js');
      const begin = Date.UTC(2026, 10, 25, 16) / 1000;
      const splits = [0, 6, 12].map((hour) => begin + hour * 3600);
      return timeLabels(splits, { scales: { x: { min: begin, max: begin + 86_400 } } });
    }""")
    assert labels == ["17:00\n25 Nov", "23:00", "05:00\n26 Nov"]
