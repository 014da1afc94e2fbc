"""QR codes are read back by a decoder that knows nothing of how they were drawn."""

from __future__ import annotations

import pytest
from support import qr_codes

from tributary.auth import cors, qr_code

SECRET = "trb_" + "Aa0-_" * 8 + "xyz"
LINKS = [
    qr_code.link("http://192.168.1.20:8000", SECRET),
    qr_code.link("https://tributary.example", SECRET),
    qr_code.link("http://[2001:db8:1234:5678:9abc:def0:1234:5678]:65535", SECRET),
    qr_code.link("http://10.0.0.1:8000", None),
    qr_code.link(f"https://{'a' * 253}", SECRET),
]


@pytest.mark.parametrize("link", LINKS)
def test_a_code_is_read_back_from_a_terminal_and_from_a_picture(link: str):
    lines = qr_code.terminal_lines(link)
    assert len({len(line) for line in lines}) == 1
    assert qr_codes.of_lines(lines) == link
    assert qr_codes.of_outline(*qr_code.outline(link)) == link


def test_the_code_of_a_token_and_an_address_fits_on_24_lines_of_80():
    lines = qr_code.terminal_lines(qr_code.link("http://192.168.100.200:65535", SECRET))
    assert len(lines) <= 22
    assert len(lines[0]) <= 80


def test_the_token_is_in_the_fragment_which_is_sent_to_no_server():
    before, _, fragment = LINKS[0].partition("#")
    assert before == "http://192.168.1.20:8000/"
    assert fragment == f"token={SECRET}"


def test_a_line_is_black_on_white_whatever_the_theme():
    assert qr_code.coloured("█") == "\x1b[38;5;16;48;5;231m█\x1b[0m"


@pytest.mark.parametrize("text", ["", "tributary.example", "http://a.example/path", "ftp://a", "*"])
def test_an_address_of_the_dashboard_is_an_origin(text: str):
    with pytest.raises(ValueError, match="is not an origin"):
        cors.checked_origin(text)
