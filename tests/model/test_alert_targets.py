"""The settings of where alerts are sent: every error without the secret."""

from __future__ import annotations

import ipaddress

import pytest

from tributary import settings
from tributary.errors import Misconfigured
from tributary.model import alert_target
from tributary.model.alert_target import Relay

SECRET = "whsec_" + "dHJpYnV0YXJ5IGFsZXJ0cyB0ZXN0IHNlY3JldCAhISE="


def test_urls_are_parsed_and_shown_without_path():
    one, other = alert_target.hooks("https://hooks.example/a?k=1, http://10.0.0.1:8080")
    assert (one.scheme, one.host, one.port, one.target) == ("https", "hooks.example", 443, "/a?k=1")
    assert (other.port, other.target) == (8080, "/")
    assert one.name == "https://hooks.example:443"


@pytest.mark.parametrize(
    "text",
    ["ftp://a/", "https://", "hooks.example", "https://user:pw@a/", "https://a:99999/",
     "https://a/\r\nX: y", "https://a/ b", "https://a/,https://a/",
     ",".join(f"https://a/{n}" for n in range(11))],
)  # fmt: skip
def test_other_urls_are_rejected(text: str):
    with pytest.raises(ValueError) as caught:
        alert_target.hooks(text)
    assert "pw" not in str(caught.value)


def test_secrets_are_base64_of_24_to_64_bytes():
    assert alert_target.secrets(f"{SECRET},{SECRET[6:]}") == [alert_target.secrets(SECRET)[0]] * 2
    for text in ("whsec_c2hvcnQ=", "whsec_!!!", "plain"):
        with pytest.raises(ValueError, match="not 24 to 64 random bytes"):
            alert_target.secrets(text)


def test_private_places_are_hosts_addresses_or_networks():
    found = alert_target.allowed("Hooks.Internal,10.0.0.0/8,::1,127.0.0.1")
    assert found.hosts == {"hooks.internal"}
    assert ipaddress.ip_network("10.0.0.0/8") in found.networks
    for text in ("10.0.0.0/33", "a b", "-x"):
        with pytest.raises(ValueError, match="is not a host name, an address or a network"):
            alert_target.allowed(text)


def test_mail_servers_and_addresses():
    assert alert_target.relay("smtp+starttls://me:p%40ss@mail.example") == Relay(
        "smtp+starttls", "mail.example", 587, "me", "p@ss"
    )
    assert alert_target.relay("smtp://mail").port == 25
    for text, problem in (
        ("http://mail", "not of the form smtp://HOST"),
        ("smtp://me:pw@mail", "a password is not sent without TLS"),
        ("smtps://mail:x", "not a valid URL"),
    ):
        with pytest.raises(ValueError, match=problem):
            alert_target.relay(text)
    assert alert_target.addresses("a@b.example, c@d") == ["a@b.example", "c@d"]
    with pytest.raises(ValueError, match="is not a valid address of e-mail"):
        alert_target.addresses("a@b\r\nBcc: x@y")


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"ALERT_WEBHOOKS": "https://a/token"}, "ALERT_WEBHOOKS without TRIBUTARY_ALERT_WEBHOOK_SECRET"),
        ({"ALERT_WEBHOOKS": "ftp://a/token"}, r"TRIBUTARY_ALERT_WEBHOOKS='\*\*\*': URL 1 is not"),
        ({"ALERT_WEBHOOK_SECRET": "token"}, r"TRIBUTARY_ALERT_WEBHOOK_SECRET='\*\*\*': not 24"),
        ({"ALERT_MAIL_TO": "a@b"}, "ALERT_MAIL_TO needs TRIBUTARY_ALERT_MAIL_FROM"),
        ({"SMTP_URL": "smtp://me:token@mail"}, r"SMTP_URL='smtp://\*\*\*@mail': a password"),
        ({"ALERT_RETRY_FOR": "1"}, "ALERT_RETRY_FOR='1': '1' is not a duration"),
    ],
)  # fmt: skip
def test_settings_are_checked_and_secrets_are_not_shown(environ: dict[str, str], problem: str):
    with pytest.raises(Misconfigured, match=problem) as caught:
        settings.load({f"TRIBUTARY_{name}": value for name, value in environ.items()})
    assert "token'" not in str(caught.value)
    assert "/token" not in str(caught.value)
