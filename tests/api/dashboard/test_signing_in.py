"""Signing in with a link or a QR code, and signing out."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect
from support import qr_codes
from support.waiting import wait_until

from dashboard.conftest import Pages
from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.model.clock import utc_ms

pytestmark = pytest.mark.browser


@pytest.mark.sample
def test_a_code_signs_a_phone_in_and_signing_out_removes_the_token(own_site: Any, pages: Pages):
    site = own_site(dashboard_url="http://192.0.2.7:8000")
    secret = tokens.create(site.server.client, Token("t1", "all", "*", tokens.SCOPES, utc_ms()))
    wait_until(lambda: site.get("/api/v1/status")[0] == 401, "tokens to be required")
    phone = {"width": 390, "height": 844}
    page = pages.open(f"{site.url}/#token={secret}", viewport=phone)
    expect(page.get_by_role("status")).to_have_text("Live")
    assert page.evaluate("[location.hash, history.length]") == ["#/", 2]  # about:blank, the page
    page.get_by_text("Open on a phone").click()
    shown = page.locator("svg.qr path")
    expect(page.locator(".empty details p")).to_contain_text(
        "http://192.0.2.7:8000 with your token"
    )
    size = int(str(page.locator("svg.qr").get_attribute("viewBox")).split()[-1])
    read = qr_codes.of_outline(size, str(shown.get_attribute("d")))
    assert read == f"http://192.0.2.7:8000/#token={secret}"
    assert page.evaluate("document.documentElement.scrollWidth") == phone["width"]

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token with the scope collect")).to_be_visible()
    expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
    assert page.evaluate("sessionStorage.getItem('tributary-token')") is None
    page.go_back()
    assert secret not in page.url
    page = pages.open(read.replace("http://192.0.2.7:8000", site.url), viewport=phone)
    expect(page.get_by_role("status")).to_have_text("Live")
    for origin, status in (("http://a.example:80", 200), ("a.example", 400), ("", 400)):
        query = urlencode({"origin": origin})
        found = site.get(f"/dashboard/qr?{query}", Authorization=f"Bearer {secret}")
        assert found[0] == status, origin
        assert site.get(f"/dashboard/qr?{query}")[0] == 401


def test_a_code_without_tokens_has_only_the_address(own_site: Any):
    site = own_site()
    status, body = site.get("/dashboard/qr?origin=http://localhost:8000")
    assert (status, body["error"]["code"]) == (404, "no_address")
    status, body = site.get("/dashboard/qr?origin=http://192.0.2.9:8000")
    assert (status, body["has_token"]) == (200, False)
    assert qr_codes.of_outline(body["size"], body["path"]) == "http://192.0.2.9:8000/"
