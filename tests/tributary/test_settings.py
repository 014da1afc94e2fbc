"""The settings: defaults, precedence and validation."""

from __future__ import annotations

import pytest

from tributary import settings
from tributary.errors import Misconfigured


def test_defaults_need_no_environment():
    loaded = settings.load({})
    assert (loaded.partitions, loaded.stream_max_entries) == (0, 0)  # those of the data
    assert settings.of_data(loaded, None) == settings.Settings()
    assert [w.name for w in loaded.parsed_windows] == ["1m", "15m", "1h", "24h"]


def test_options_override_the_environment():
    loaded = settings.load(
        {"TRIBUTARY_PORT": "9000", "TRIBUTARY_HOST": "::1", "OTHER": "x"},
        {"port": "9001", "host": None},
    )
    assert (loaded.host, loaded.port) == ("::1", 9001)


def test_roles_ignore_the_token_of_client_commands():
    assert settings.load({"TRIBUTARY_TOKEN": "trb_x"}) == settings.load({})


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("false", False), ("0", False)]
)
def test_booleans_are_words_or_digits(text: str, value: object):
    assert settings.load({"TRIBUTARY_OPEN": text}).open is value


def test_all_invalid_settings_are_reported_together():
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


def test_every_setting_is_described():
    for name, _default, _unit, meaning in settings.table():
        assert meaning, name


def test_a_required_history_contradicts_dropping_entries():
    with pytest.raises(Misconfigured, match="HISTORY=required and TRIBUTARY_OVERFLOW=trim"):
        settings.load({"TRIBUTARY_HISTORY": "required", "TRIBUTARY_OVERFLOW": "trim"})
