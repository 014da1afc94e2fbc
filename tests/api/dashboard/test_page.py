"""The dashboard in a browser: readings, stale devices, outages, tokens, hostile names."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.processes import ROOT, request
from support.site import Site
from support.waiting import wait_until

from dashboard.accessibility import check_everywhere, check_page
from dashboard.conftest import Pages
from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.model.clock import utc_ms
from tributary.store import keys

pytestmark = pytest.mark.browser

HOSTILE = [
    "a/../../b",
    "javascript:alert",
    "..",
    "//evil.example/x",
    "constructor",
    "__proto__",
    "a%2Fb".replace("%", "."),
    "x" * 128,
]


def row(page: Page, device: str) -> Any:
    return page.locator("table.fleet tbody tr").filter(
        has=page.get_by_role("link", name=device, exact=True)
    )


def current(page: Page, device: str) -> Any:
    """The first value of a device in the list."""
    return row(page, device).locator(".current").first


def canvas(page: Page) -> str:
    """The pixels of the first chart."""
    return str(page.evaluate("document.querySelector('.chart canvas').toDataURL()"))


def check_command(line: str, **environ: str) -> None:
    """A command of the page records a reading."""
    done = subprocess.run(
        line, shell=True, env={**os.environ, **environ}, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {"success": True}


@pytest.mark.sample
def test_shows_a_reading_within_a_second_without_a_reload(site: Site, pages: Pages):
    site.post({"device": "seen-0", "speed": 1})
    page = pages.open(f"{site.url}/#/?q=seen-")
    expect(row(page, "seen-0")).to_contain_text("speed")
    expect(page.get_by_role("status")).to_have_text("Live")
    site.post({"device": "seen-1", "speed": 41.25})
    expect(row(page, "seen-1")).to_contain_text("41.25", timeout=5_000)
    site.post({"device": "seen-1", "speed": 43.5})
    expect(row(page, "seen-1")).to_contain_text("43.5", timeout=1_000)
    expect(row(page, "seen-1")).to_contain_text("avg 42.38")


def test_shows_a_silent_device_as_stale(site: Site, pages: Pages):
    page = pages.open(f"{site.url}/#/?q=silent")
    expect(page.get_by_role("status")).to_have_text("Live")
    site.post({"device": "silent", "speed": 5})
    expect(row(page, "silent")).to_have_class("fresh")
    expect(row(page, "silent")).to_have_class("stale")
    expect(row(page, "silent")).to_contain_text("no readings for ")
    page.goto(f"{site.url}/#/device/silent")
    expect(page.locator(".badge")).to_have_text("Stale")


def test_shows_a_moving_chart_with_current_and_average_of_each_metric(site: Site, pages: Pages):
    page = pages.open(f"{site.url}/#/device/charted")
    expect(page.locator("main")).to_contain_text("This device has no readings yet")
    for turn in range(3):
        site.post({"device": "charted", "engine_temperature": 90 + turn, "speed": 50})
    card = page.get_by_role("region", name="engine_temperature")
    expect(card.locator(".current")).to_have_text("92")
    expect(card.locator(".average")).to_have_text("average 91")
    expect(card.locator(".difference")).to_have_text("▲ 1")
    expect(page.locator(".metric")).to_have_count(2)
    expect(card.locator("canvas")).to_be_visible()
    before = canvas(page)
    site.post({"device": "charted", "engine_temperature": 70})
    wait_until(lambda: canvas(page) != before, "the chart to move")
    before = canvas(page)
    page.get_by_role("radio", name="15m").check()
    wait_until(lambda: canvas(page) != before, "the chart to show another window")
    expect(card.locator("tr.chosen")).to_contain_text("15m")
    expect(card.locator("tr.chosen")).to_contain_text("4")


def test_reports_an_outage_and_reconnects_to_a_restarted_server(site: Site, pages: Pages):
    site.post({"device": "kept", "speed": 1})
    page = pages.open(f"{site.url}/#/?q=kept")
    expect(current(page, "kept")).to_have_text("1")
    site.stop()
    expect(page.get_by_role("status")).to_have_text("Reconnecting")
    expect(page.get_by_role("alert")).to_contain_text("Connection lost")
    site.start()
    expect(page.get_by_role("status")).to_have_text("Live")
    expect(page.get_by_role("alert")).to_be_hidden()
    site.post({"device": "kept", "speed": 2})
    expect(current(page, "kept")).to_have_text("2")


def test_an_empty_page_shows_a_command_that_works(own_site: Any, pages: Pages):
    site = own_site()
    page = pages.open(site.url)
    line = page.locator(".command code").inner_text()
    assert f"{site.url}/record" in line
    check_command(line)
    expect(row(page, "car-7")).to_contain_text("92.3", timeout=5_000)
    expect(page.locator(".empty")).to_have_count(0)


def test_the_command_uses_the_configured_record_url(own_site: Any, pages: Pages):
    site = own_site(record_url='https://in.example/"><script>alert(1)</script>')
    page = pages.open(site.url)
    expect(page.locator(".command code")).to_contain_text(
        'https://in.example/"><script>alert(1)</script>/record'
    )


@pytest.mark.sample
def test_shows_hostile_device_names_as_text(site: Site, pages: Pages):
    site.post(
        [{"device": f"evil:{name}"[:128], "__proto__": 1, "constructor": 2} for name in HOSTILE]
    )
    page = pages.open(f"{site.url}/#/?q=evil:")
    for name in HOSTILE:
        device = f"evil:{name}"[:128]
        link = page.get_by_role("link", name=device, exact=True)
        expect(link).to_have_count(1)
        link.click()
        expect(page.get_by_role("heading", level=1)).to_have_text(device)
        expect(page.get_by_role("region", name="__proto__")).to_be_visible()
        page.go_back()


def test_shows_an_invalid_stored_name_as_text(site: Site, pages: Pages):
    device = "<i>1</i><img src=x onerror=alert(1)><script>alert(2)</script>"
    stored = {"device": device, "recorded_at": "2026-11-22T10:00:00.250Z"}
    stored |= {"current_<b>x</b>": 1.5, "average_<b>x</b>": 1.5}
    partition = keys.partition_of(device, site.settings.partitions)
    latest = json.dumps(stored, separators=(",", ":"))
    site.server.client.hset(keys.latest(partition), device, latest)
    site.server.client.zadd(keys.devices(partition), {device: 0})
    page = pages.open(site.url)
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    site.post({"device": "any", "speed": 1})
    expect(current(page, "any")).to_have_text("1")
    expect(row(page, device)).to_contain_text("<b>x</b>")
    assert page.locator("main img, main script, main b, main i").count() == 0


def test_does_not_run_scripts_from_its_url(site: Site, pages: Pages):
    for hostile in ("<img src=x onerror=alert(7)>", "%3Cscript%3Ealert(7)%3C%2Fscript%3E", "%ff"):
        page = pages.open(f"{site.url}/#/device/{hostile}")
        page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        page.goto(f"{site.url}/#/?q={hostile}")
        expect(page.locator("main")).to_contain_text("No devices match")
        assert page.locator("main img, main script").count() == 0


@pytest.mark.sample
def test_can_be_used_with_the_keyboard_alone(site: Site, pages: Pages):
    site.post([{"device": f"key-{n}", "speed": n} for n in range(3)])
    page = pages.open(site.url)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("key-1")
    expect(page.locator("table.fleet tbody tr")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("key-1")
    page.locator("input[type=radio]:checked").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="15m")).to_be_checked()
    page.keyboard.press("Escape")
    expect(page.get_by_role("searchbox")).to_be_visible()


def test_axe_finds_no_serious_issue_and_nothing_overflows(site: Site, pages: Pages):
    site.post([{"device": f"axe-{n}", "engine_temperature": 90.5, "rpm": 2000} for n in range(60)])
    page = pages.open(f"{site.url}/#/?q=axe-", reduced_motion="reduce")
    expect(row(page, "axe-1")).to_contain_text("90.5")
    check_page(page)
    expect(row(page, "axe-1")).to_have_class("stale")
    check_everywhere(page)
    page.goto(f"{site.url}/#/device/axe-1")
    expect(page.locator(".stats tbody tr")).to_have_count(8)
    check_everywhere(page)


def test_has_no_animations_with_reduced_motion(site: Site, pages: Pages):
    page = pages.open(site.url, reduced_motion="reduce")
    expect(page.get_by_role("status")).to_have_text("Live")
    assert page.evaluate("document.getAnimations().length") == 0


def test_pages_ten_thousand_devices_with_one_subscription_per_page(own_site: Any, pages: Pages):
    site = own_site()
    for begin in range(0, 10_000, 1_000):
        joining = [{"device": f"fleet-{n:05}", "n": n} for n in range(begin, begin + 1_000)]
        wait_until(  # 503 while too many new series are pending
            lambda each=joining: request(site.url, "POST", "/record", each, {})[0] == 200,
            "the devices to join",
        )
    page = pages.open("about:blank")
    lives: list[str] = []
    page.on("request", lambda sent: lives.append(sent.url) if "/v1/live" in sent.url else None)
    page.goto(site.url)
    expect(current(page, "fleet-00049")).to_have_text("49")
    assert len(lives) == 1
    expect(page.locator("table.fleet tbody tr")).to_have_count(50)
    expect(page.locator(".health .cell").filter(has_text="Devices")).to_contain_text("10,000")
    page.get_by_role("button", name="Next").click()
    expect(current(page, "fleet-00099")).to_have_text("99")
    assert len(lives) == 2
    page.get_by_role("button", name="Previous").click()
    expect(row(page, "fleet-00000")).to_be_visible()
    page.get_by_role("searchbox").fill("LEET-0777")
    expect(page.locator("table.fleet tbody tr")).to_have_count(10, timeout=30_000)
    site.post({"device": "fleet-07777", "n": 1})
    expect(row(page, "fleet-07777")).to_contain_text("avg 3,889", timeout=5_000)


def test_the_event_source_of_the_documentation_receives_events(site: Site, pages: Pages):
    text = (ROOT / "docs" / "clients.md").read_text()
    snippet = re.search(r"```js browser\n(.*?)```", text, re.DOTALL)
    assert snippet is not None
    page = pages.open(site.url)
    logged: list[str] = []
    page.on("console", lambda message: logged.append(message.text))
    page.evaluate(snippet[1].replace("http://127.0.0.1:8000", site.url))
    site.post({"device": "car-7", "engine_temperature": 93.5})
    page.wait_for_timeout(100)
    for _ in range(50):
        if "car-7 93.5" in logged:
            return
        page.wait_for_timeout(100)
    pytest.fail(f"received only {logged}")


def test_uses_a_token_of_the_url_or_prompts_for_one(own_site: Any, pages: Pages):
    site = own_site()
    token = Token("t1", "page", "*", tokens.SCOPES, utc_ms())
    secret = tokens.create(site.server.client, token)
    wait_until(lambda: site.get("/api/v1/status")[0] == 401, "tokens to be required")
    page = pages.open(f"{site.url}/#token={secret}")
    expect(page.get_by_role("status")).to_have_text("Live")
    assert secret not in page.url
    line = page.locator(".command code").inner_text()
    assert secret not in line
    check_command(line, TRIBUTARY_TOKEN=secret)
    expect(row(page, "car-7")).to_contain_text("92.3", timeout=5_000)

    reader = Token("t2", "page", "*", ("collect",), utc_ms())
    other = tokens.create(site.server.client, reader)
    wait_until(
        lambda: site.get("/collect?device=car-7", Authorization=f"Bearer {other}")[0] == 200,
        "the other token to be loaded",
    )
    page = pages.open(site.url)
    page.get_by_label("Token with the scope collect").fill(other)
    page.get_by_role("button", name="Use in this tab").click()
    expect(row(page, "car-7")).to_contain_text("92.3")
    expect(page.get_by_role("status")).to_have_text("Live")
