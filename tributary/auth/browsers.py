"""What a page of another site may do through a browser where no token is asked for. Pure.

Without tokens, being able to connect is the only credential, and a browser on this machine has
it whatever page it shows. Two checks take it away again: the name in `Host` must be one that no
other site can own (DNS rebinding), and a request that writes must not come from another site.
A request without these header fields comes from no browser and passes.

Sources: RFC 9110 7.2 (Host), the Fetch standard (Origin, Sec-Fetch-Site),
https://www.w3.org/TR/fetch-metadata/.
"""

from __future__ import annotations

import ipaddress
import re

from tributary.errors import Refused

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")


def parse_hosts(text: str) -> frozenset[str]:
    """`tributary.example.com, ingest` → host names in lower case; an empty text is none.

    Raises:
        ValueError: one of them is not a host name without port.
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
        """Raise unless no other site can own the name in the header field Host.

        Args:
            host: the field as it was sent; a browser always names one, others may not.

        Raises:
            Refused: 421 unknown_host.
        """
        if not host:
            return
        name = _name_of(host)
        if name == "localhost" or name in self._hosts or _is_address(name):
            return
        raise Refused(
            f"Host is {host!r:.80}, a name this server does not know; use its IP address or "
            "localhost, or list the name in TRIBUTARY_PUBLIC_HOSTS (or ask for tokens)",
            status=421,
            code="unknown_host",
            field="Host",
        )

    def is_cross_site(self, host: str | None, origin: str | None, fetch_site: str | None) -> bool:
        """Whether a browser says that a page of another site has sent the request.

        Args:
            host: the header field Host.
            origin: the header field Origin; `null` is a page without an origin.
            fetch_site: the header field Sec-Fetch-Site.
        """
        if origin is None:
            return fetch_site is not None and fetch_site.strip().lower() == "cross-site"
        if origin in self._origins:
            return False
        scheme, _, place = origin.lower().partition("://")
        # A proxy in front may end TLS, so the scheme says nothing here.
        return scheme not in ("http", "https") or host is None or place != host.lower()


def cross_site() -> Refused:
    """403 for a request that writes and that a page of another site has sent."""
    return Refused(
        "a page of another site may not write here; list its origin in TRIBUTARY_CORS_ORIGINS, "
        "or ask for tokens",
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
