"""Redis URLs: hosts of a cluster, sentinels, and URLs without their passwords. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

DEFAULT_PORT = 6379
SENTINEL_PORT = 26379
_SENTINEL_SCHEMES = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
_SENTINEL_FORM = "redis+sentinel://host1:26379,host2:26379/NAME/0"
_PASSWORD = re.compile(r"([?&][^=&]*pass[^=&]*=)[^&]*")


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


def address(url: str, default_port: int = DEFAULT_PORT) -> tuple[str, int]:
    """Host and port of a URL with one host.

    Raises:
        ValueError: the host is missing, or the port is not a number.
    """
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(
            f"{redacted(url)!r} names no host; write redis://host:port/0, or for a cluster "
            f"redis://host1:port,host2:port/0, or for sentinels {_SENTINEL_FORM}"
        )
    return parts.hostname, parts.port or default_port


class Sentinels(NamedTuple):
    """The parts of a URL that names sentinels."""

    urls: tuple[str, ...]  # of each sentinel, with its login
    name: str  # of the master, as in `sentinel monitor`
    scheme: str
    login: str  # at the master
    tail: str  # database and options of the master

    def master(self, host: str, port: int) -> str:
        """The URL of the master at an address."""
        return f"{self.scheme}://{self.login}{_bracketed(host)}:{port}/{self.tail}"


def sentinels(url: str) -> Sentinels | None:
    """`redis+sentinel://u:p@h1:26379,h2/NAME/0` → its parts; None for another kind of URL.

    The login is that of the master. A login of the sentinels is in the options
    `sentinel_username` and `sentinel_password`; TLS options are valid for both.

    Raises:
        ValueError: what is wrong; the message contains no password.
    """
    start, _, query = url.partition("?")
    scheme, _, rest = start.partition("://")
    if scheme not in _SENTINEL_SCHEMES:
        return None
    netloc, _, path = rest.partition("/")
    login, at, hosts = netloc.rpartition("@")
    name, _, database = path.partition("/")
    if not name:
        raise ValueError(f"{redacted(url)!r} names no master; write {_SENTINEL_FORM}")
    if not (database.isdecimal() or not database):
        reason = f"{database!r} is not the number of a database; write {_SENTINEL_FORM}"
        raise ValueError(f"{redacted(url)!r}: {reason}")
    options = dict(parse_qsl(query, keep_blank_values=True))
    own = {key: options.pop(key) for key in list(options) if key.startswith("sentinel_")}
    user, password = own.pop("sentinel_username", ""), own.pop("sentinel_password", "")
    if own:
        raise ValueError(f"{redacted(url)!r}: unknown option {next(iter(own))!r}; remove it")
    sentinel_login = f"{quote(user, '')}:{quote(password, '')}@" if user or password else ""
    of_tls = urlencode({key: value for key, value in options.items() if key.startswith("ssl_")})
    plain = _SENTINEL_SCHEMES[scheme]
    places = [address(f"{plain}://{host.strip()}", SENTINEL_PORT) for host in hosts.split(",")]
    return Sentinels(
        tuple(f"{plain}://{sentinel_login}{_bracketed(h)}:{p}/0?{of_tls}" for h, p in places),
        unquote(name),
        plain,
        login + at,
        f"{database or 0}?{urlencode(options)}",
    )


def check(url: str) -> bool:
    """Check the form of a URL; the empty one of an optional setting is valid, too.

    Raises:
        ValueError: what is wrong; the message contains no password.
    """
    return not url or sentinels(url) is not None or bool(seeds(url))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def redacted(url: str) -> str:
    """A Redis URL without its login and the passwords among its options, for messages and logs."""
    parts = urlsplit(without_passwords(url))
    login, at, hosts = parts.netloc.rpartition("@")
    if ":" in login:
        parts = parts._replace(netloc=f"***{at}{hosts}")
    return urlunsplit(parts)


def without_passwords(url: str) -> str:
    """A URL without the passwords among its options."""
    return _PASSWORD.sub(r"\1***", url)


def with_address(url: str, host: str, port: int) -> str:
    """The URL with another host and port; a node without a host name keeps that of the URL."""
    parts = urlsplit(url)
    login, at, _ = parts.netloc.rpartition("@")
    host = host or parts.hostname or "127.0.0.1"
    bracketed = f"[{host}]" if ":" in host else host
    return urlunsplit(parts._replace(netloc=f"{login}{at}{bracketed}:{port}"))
