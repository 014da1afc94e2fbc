"""One table of settings: validated at once, derived options, documented to the letter."""

from __future__ import annotations

import pytest

from tributary import settings
from tributary.errors import Misconfigured


def test_defaults_need_no_environment():
    loaded = settings.load({})
    assert loaded.partitions == 16
    assert [w.name for w in loaded.parsed_windows] == ["1m", "15m", "1h", "24h"]


def test_the_environment_is_read_and_options_win():
    loaded = settings.load(
        {"TRIBUTARY_PORT": "9000", "TRIBUTARY_HOST": "::1", "OTHER": "x"},
        {"port": "9001", "host": None},
    )
    assert (loaded.host, loaded.port) == ("::1", 9001)


def test_the_token_of_client_commands_is_no_fault_of_a_role():
    assert settings.load({"TRIBUTARY_TOKEN": "trb_x"}) == settings.load({})


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("false", False), ("0", False)]
)
def test_flags_are_words_or_digits(text: str, value: object):
    assert settings.load({"TRIBUTARY_OPEN": text}).open is value


def test_every_fault_is_named_at_once_with_its_value():
    with pytest.raises(Misconfigured) as caught:
        settings.load(
            {
                "TRIBUTARY_PORT": "-1",
                "TRIBUTARY_WINDOWS": "1m/7s",
                "TRIBUTARY_AVERAGE_OVER": "many",
                "TRIBUTARY_REDIS_URLS": "redis://x",
            }
        )
    message = str(caught.value)
    for part in (
        "PORT='-1'",
        "WINDOWS='1m/7s'",
        "AVERAGE_OVER='many'",
        "did you mean TRIBUTARY_REDIS_URL?",
    ):
        assert part in message


def test_every_setting_has_a_meaning():
    for name, _default, _unit, meaning in settings.table():
        assert meaning, name
