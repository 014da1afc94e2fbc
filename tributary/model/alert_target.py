"""Where alerts are sent, as the settings name it. Pure."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
TARGETS_MAX = 10  # webhooks, and receivers of e-mail
SECRET_MIN_BYTES, SECRET_MAX_BYTES = 24, 64  # of Standard Webhooks
_SECRET_PREFIX = "whsec_"  # noqa: S105 (how one begins)
_MAIL = re.compile(r"[^\s@<>,\"]{1,64}@[A-Za-z0-9.-]{1,255}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
_SMTP_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}


class Hook(NamedTuple):
    """An URL that alerts are posted to."""

    url: str
    scheme: str
    host: str
    port: int
    target: str  # path and query

    @property
    def name(self) -> str:
        """Without path and query, which may contain a secret."""
        return f"{self.scheme}://{self.host}:{self.port}"


class Allowed(NamedTuple):
    """Hosts and networks that may be private, and that need no TLS."""

    hosts: frozenset[str]
    networks: tuple[Network, ...]


class Relay(NamedTuple):
    """A mail server."""

    scheme: str
    host: str
    port: int
    user: str
    password: str


def hooks(text: str) -> list[Hook]:
    """Parse a list of URLs.

    Raises:
        ValueError: one is not a valid URL for webhooks, without showing it.
    """
    found = [_hook(number, part) for number, part in enumerate(_parts(text), 1)]
    if len(found) > TARGETS_MAX or len({hook.url for hook in found}) < len(found):
        raise ValueError(f"at most {TARGETS_MAX} different URLs")
    return found


def secrets(text: str) -> list[bytes]:
    """Parse the secrets that sign webhooks: the first is the newest.

    Raises:
        ValueError: one is not valid, without showing it.
    """
    return [_secret(part) for part in _parts(text)]


def allowed(text: str) -> Allowed:
    """Parse hosts, addresses and networks: `hooks.internal,10.0.0.0/8`.

    Raises:
        ValueError: one is neither.
    """
    hosts: set[str] = set()
    networks: list[Network] = []
    for part in _parts(text):
        try:
            networks.append(ipaddress.ip_network(part))
        except ValueError:
            if "/" in part or _HOST.fullmatch(part) is None:
                raise ValueError(f"{part!r} is not a host name, an address or a network") from None
            hosts.add(part.lower())
    return Allowed(frozenset(hosts), tuple(networks))


def relay(text: str) -> Relay:
    """Parse `smtp://host`, `smtp+starttls://user:password@host:587` or `smtps://…`.

    Raises:
        ValueError: it is not such an URL, without showing it.
    """
    url = _split(text)
    if url.scheme not in _SMTP_PORTS or not url.hostname or url.path not in ("", "/") or url.query:
        raise ValueError("not of the form smtp://HOST, smtp+starttls://USER:PASSWORD@HOST or smtps")
    login = (unquote(url.username or ""), unquote(url.password or ""))
    if any(login) and url.scheme == "smtp":
        raise ValueError("a password is not sent without TLS; use smtp+starttls:// or smtps://")
    return Relay(url.scheme, url.hostname, _port(url) or _SMTP_PORTS[url.scheme], *login)


def addresses(text: str) -> list[str]:
    """Parse addresses of e-mail.

    Raises:
        ValueError: one is not valid.
    """
    found = _parts(text)
    if len(found) > TARGETS_MAX:
        raise ValueError(f"at most {TARGETS_MAX} addresses")
    for part in found:
        if _MAIL.fullmatch(part) is None:
            raise ValueError(f"{part!r} is not a valid address of e-mail, like name@example.org")
    return found


def _parts(text: str) -> list[str]:
    return [part for part in (p.strip() for p in text.split(",")) if part]


def _hook(number: int, text: str) -> Hook:
    url = _split(text)
    is_printable = text.isascii() and text.isprintable() and " " not in text
    if url.scheme not in ("http", "https") or not url.hostname or not is_printable:
        raise ValueError(f"URL {number} is not of the form https://HOST/PATH")
    if url.username or url.password:
        raise ValueError(f"URL {number} has a user; webhooks are signed instead")
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    port = _port(url) or (443 if url.scheme == "https" else 80)
    return Hook(text, url.scheme, url.hostname, port, target)


def _split(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        raise ValueError("not a valid URL") from None
    return url


def _port(url: SplitResult) -> int | None:
    return url.port


def _secret(text: str) -> bytes:
    try:
        decoded = base64.b64decode(text.removeprefix(_SECRET_PREFIX), validate=True)
    except binascii.Error:
        decoded = b""
    if not SECRET_MIN_BYTES <= len(decoded) <= SECRET_MAX_BYTES:
        raise ValueError(
            f"not {SECRET_MIN_BYTES} to {SECRET_MAX_BYTES} random bytes in Base64; create one with "
            "`python3 -c \"import base64, secrets; print('whsec_' + "
            'base64.b64encode(secrets.token_bytes(32)).decode())"`'
        )
    return decoded
