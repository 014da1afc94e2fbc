"""The files of the page as they are sent: strict headers, nothing from elsewhere, small."""

from __future__ import annotations

import gzip
import http.client
import re

import pytest
from support.site import Site

from api.dashboard import files

HELD = files.load()
OURS = {name: file.content.decode() for name, file in HELD.items() if "vendor" not in name}


def sent(site: Site, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(site.url.removeprefix("http://"), timeout=30)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET", path, headers=named)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def test_the_page_may_load_nothing_from_elsewhere_and_run_nothing_inline(site: Site):
    response, _ = sent(site, "/")
    policy = response.getheader("Content-Security-Policy") or ""
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "frame-ancestors 'none'" in policy
    assert response.getheader("X-Content-Type-Options") == "nosniff"
    assert response.getheader("Referrer-Policy") == "no-referrer"


@pytest.mark.parametrize("name", OURS)
def test_no_file_names_another_host_or_writes_markup(name: str):
    text = OURS[name].replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text)
    assert not re.search(r"\son\w+=|\sstyle=", text) or not name.endswith(".html")


def test_every_module_is_asked_for_before_it_is_needed():
    modules = {name for name in OURS if name.endswith(".js")} - {"main.js"}
    listed = set(re.findall(r'modulepreload" href="/dashboard/([^"]+)"', OURS["index.html"]))
    imported = {m for text in OURS.values() for m in re.findall(r'from "\./([^"]+)"', text)}
    assert listed == modules == imported


def test_a_file_is_compressed_and_sent_once(site: Site):
    plain, content = sent(site, "/dashboard/vendor/uplot.js")
    assert content == HELD["vendor/uplot.js"].content
    packed, body = sent(site, "/dashboard/vendor/uplot.js", Accept_Encoding="gzip, br")
    assert packed.getheader("Content-Encoding") == "gzip"
    assert gzip.decompress(body) == content
    assert len(body) < len(content) / 2
    tag = plain.getheader("ETag") or ""
    again, nothing = sent(site, "/dashboard/vendor/uplot.js", If_None_Match=tag)
    assert (again.status, nothing) == (304, b"")


@pytest.mark.parametrize("path", ["../files.py", "..%2ffiles.py", "index.html", "none.js", "%00"])
def test_no_other_file_can_be_had(site: Site, path: str):
    assert sent(site, f"/dashboard/{path}")[0].status == 404


def test_the_whole_page_is_smaller_than_a_picture():
    assert (
        sum(len(file.gzipped) for name, file in HELD.items() if not name.endswith("txt")) < 64_000
    )
