"""Pages of other sites can neither write nor read, in a real browser."""

from __future__ import annotations

import shutil

import pytest
from support import attacks
from support.programs import needed
from support.site import Site


@pytest.mark.timeout(120)
def test_a_cross_site_page_can_neither_record_nor_read(site: Site):
    if shutil.which("chromium-browser") is None:
        needed("chromium")
    site.post({"device": "honest", "speed": 1})
    seen = attacks.play(site.url)
    assert not {name for name in attacks.stored(site.url) if name.startswith("evil")}, seen
    assert "unknown_host" in seen["rebinding, read"] or "421" in seen["rebinding, read"]
    assert "cross_site" in seen["form POST"]
