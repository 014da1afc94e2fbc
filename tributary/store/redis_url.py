"""Redis URLs: several hosts as seeds of one cluster, and URLs without their password. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

DEFAULT_PORT = 6379


def seeds(url: str) -> list[str]:
    """`redis://u:p@h1:7000,h2:7001/0` → a URL for each host, with the same login and database.

    Raises:
        ValueError: a host is empty, or a port is not a number.
    """
    scheme, separator, rest = url.partition("://")
    if scheme not in ("redis", "rediss") or "," not in rest:
        return [url]
    login, at, hosts = rest.partition("/")[0].rpartition("@")
    tail = rest[len(login) + len(at) + len(hosts) :]
    found = []
    for host in hosts.split(","):
        single = f"{scheme}{separator}{login}{at}{host.strip()}{tail}"
        address(single)
        found.append(single)
    return found


def address(url: str) -> tuple[str, int]:
    """Host and port of a URL with one host.

    Raises:
        ValueError: the host is missing, or the port is not a number.
    """
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(
            f"{redacted(url)!r} names no host; write redis://host:port/0, or for a cluster "
            "redis://host1:port,host2:port/0"
        )
    return parts.hostname, parts.port or DEFAULT_PORT


def redacted(url: str) -> str:
    """A Redis URL without its login, for messages and logs."""
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    if ":" not in login:
        return url
    return urlunsplit(parts._replace(netloc=f"***{at}{hosts}"))
