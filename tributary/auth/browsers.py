"""Checks against pages of other sites where no token is required. Pure.

Without tokens, the ability to connect is the only credential, and every page in a browser on
this machine has it. Two checks protect the server: `Host` must be a name that no other site can
own (DNS rebinding), and a request that writes must not come from a page of another site. A
request without these header fields does not come from a browser and is accepted.

Sources: RFC 9110 7.2 (Host), the Fetch standard (Origin, Sec-Fetch-Site),
https://www.w3.org/TR/fetch-metadata/.
"""

from __future__ import annotations

import ipaddress
import re

from tributary.errors import Refused

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")


def parse_hosts(text: str) -> frozenset[str]:
    """`tributary.example.com, ingest` → host names in lower case; an empty text means none.

    Raises:
        ValueError: a part is not a host name without a port.
    """
    hosts = frozenset(filter(None, (part.strip().lower() for part in text.split(","))))
    for host in sorted(hosts):
        if _NAME.fullmatch(host) is None:
            raise ValueError(
                f"{host!r} is not a host name; write it without scheme and port, "
                "like tributary.example.com"
            )
    return hosts


class Policy:
    """The host names and origins of a deployment."""

    def __init__(self, hosts: frozenset[str], origins: frozenset[str]) -> None:
        self._hosts = hosts
        self._origins = origins

    def check_host(self, host: str | None) -> None:
        """Raise 421 if another site could own the name in Host, which browsers always send."""
        if not host:
            return
        name = _name_of(host)
        if name == "localhost" or name in self._hosts or _is_address(name):
            return
        raise Refused(
            f"unknown host {host!r:.80}; use the IP address of the server or localhost, or list the "
            "name in TRIBUTARY_PUBLIC_HOSTS (or require tokens)",
            status=421,
            code="unknown_host",
            field="Host",
        )

    def is_cross_site(self, host: str | None, origin: str | None, fetch_site: str | None) -> bool:
        """Whether a browser marks the request as sent by a page of another site.

        The arguments are the header fields as sent; Origin is `null` for a page without one.
        """
        if origin is None:
            return fetch_site is not None and fetch_site.strip().lower() == "cross-site"
        if origin in self._origins:
            return False
        scheme, _, address = origin.lower().partition("://")
        # A proxy in front may terminate TLS, so the scheme need not match.
        return scheme not in ("http", "https") or host is None or address != host.lower()


def cross_site() -> Refused:
    """403 for a write from a page of another site."""
    return Refused(
        "a page of another site must not write; list its origin in TRIBUTARY_CORS_ORIGINS, "
        "or require tokens",
        status=403,
        code="cross_site",
    )


def _name_of(host: str) -> str:
    """The name or address of a Host field, without port, brackets and final dot."""
    text = host.lower()
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        return address if not rest or rest.startswith(":") else text
    return text.partition(":")[0].removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
