"""The files of the page: strict headers, no other hosts, small, closed to other sites."""

from __future__ import annotations

import gzip
import re
import shutil

import pytest
from support import attacks
from support.processes import Reply, exchange
from support.programs import needed
from support.site import Site

from api.dashboard import files

pytestmark = pytest.mark.browser

FILES = files.load()
OWN_FILES = {name: file.content.decode() for name, file in FILES.items() if "vendor" not in name}


def get(site: Site, path: str, **headers: str) -> Reply:
    return exchange(site.url, "GET", path, **headers)


def test_the_policy_forbids_other_hosts_and_inline_scripts(site: Site):
    headers = get(site, "/").headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("name", OWN_FILES)
def test_no_file_contains_another_host_or_writes_markup(name: str):
    text = OWN_FILES[name].replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text)
    assert not re.search(r"\son\w+=|\sstyle=", text) or not name.endswith(".html")


def test_every_module_is_preloaded():
    modules = {name for name in OWN_FILES if name.endswith(".js")} - {"main.js"}
    listed = set(re.findall(r'modulepreload" href="/dashboard/([^"]+)"', OWN_FILES["index.html"]))
    imported = {m for text in OWN_FILES.values() for m in re.findall(r'from "\./([^"]+)"', text)}
    assert listed == modules == imported


def test_comments_and_indentation_are_left_out_and_nothing_else():
    for name, sent in OWN_FILES.items():
        if not name.endswith(".js"):
            continue
        lines = (files.FOLDER / name).read_text().splitlines()
        left_out = [line.strip() for line in lines if line.strip() not in sent.splitlines()]
        assert all(line.startswith(("//", "/**")) for line in left_out if line), name
        # No text spans lines, so what a line begins with is never part of one.
        assert not [line for line in lines if line.count("`") % 2], name


def test_compresses_a_file_and_revalidates_it(site: Site):
    plain = get(site, "/dashboard/vendor/uplot.js")
    assert plain.content == FILES["vendor/uplot.js"].content
    packed = get(site, "/dashboard/vendor/uplot.js", Accept_Encoding="gzip, br")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.content) == plain.content
    assert len(packed.content) < len(plain.content) / 2
    again = get(site, "/dashboard/vendor/uplot.js", If_None_Match=plain.headers["etag"])
    assert (again.status, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["../files.py", "..%2ffiles.py", "index.html", "none.js", "%00"])
def test_serves_no_other_file(site: Site, path: str):
    assert get(site, f"/dashboard/{path}").status == 404


def test_the_whole_page_is_below_64_kb():
    assert (
        sum(len(file.gzipped) for name, file in FILES.items() if not name.endswith("txt")) < 64_000
    )


@pytest.mark.timeout(120)
def test_a_cross_site_page_can_neither_record_nor_read(site: Site):
    if shutil.which("chromium-browser") is None:
        needed("chromium")
    site.post({"device": "honest", "speed": 1})
    seen = attacks.play(site.url)
    assert not {name for name in attacks.stored(site.url) if name.startswith("evil")}, seen
    assert "unknown_host" in seen["rebinding, read"] or "421" in seen["rebinding, read"]
    assert "cross_site" in seen["form POST"]
