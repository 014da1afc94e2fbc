"""The options of a Redis URL, as redis-py names them, and the TLS context that they describe.

redis-py checks them when it connects; here they are checked before, and used where it does not
connect.
"""

from __future__ import annotations

import functools
import os
import ssl
from collections.abc import Mapping
from typing import Any

from redis import RedisError
from redis.connection import Connection, SSLConnection, parse_url

from tributary.errors import Misconfigured
from tributary.store.redis_url import redacted

_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
_OF_POOLS = ("connection_class", "max_connections")


def parse(url: str) -> dict[str, Any]:
    """The options of a URL with one host.

    Raises:
        Misconfigured: the URL is not a Redis URL, or has an unknown option.
    """
    return _parsed(url).copy()


# For each connection redis-py would read the metadata of its package again, for 3 ms.
@functools.lru_cache(maxsize=64)
def _parsed(url: str) -> dict[str, Any]:
    try:
        options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
        connection_class = options.get("connection_class", Connection)
        connection_class(**{k: v for k, v in options.items() if k not in _OF_POOLS})
    except (ValueError, RedisError) as error:
        raise Misconfigured(f"redis_url={redacted(url)!r}: {error}") from None
    except TypeError as error:  # it names the option
        reason = f"unknown option: {str(error).rpartition(' ')[2]}"
        raise Misconfigured(f"redis_url={redacted(url)!r}: {reason}; remove it") from None
    return options


def tls(options: Mapping[str, Any]) -> ssl.SSLContext | None:
    """The TLS context that options describe; None for a URL that is not `rediss://`.

    Raises:
        Misconfigured: a certificate cannot be used, or an option is unsupported.
    """
    if not issubclass(options.get("connection_class", object), SSLConnection):
        return None
    given = {name: value for name, value in options.items() if name.startswith("ssl_")}
    if ocsp := [name for name in given if "ocsp" in name]:
        raise Misconfigured(f"redis_url: {ocsp[0]} is unsupported; remove it")
    if "ssl_keyfile" in given and "ssl_certfile" not in given:
        raise Misconfigured("redis_url: ssl_keyfile without ssl_certfile; add the certificate")
    for name in _FILES:
        if name in given and not os.access(given[name], os.R_OK):
            raise Misconfigured(
                f"redis_url: {name}={given[name]!r} cannot be read; correct the path, or allow "
                "this user to read it"
            )
    try:
        return _context(SSLConnection(**given))
    except (OSError, ValueError) as error:  # of OpenSSL; it does not name the file
        files = ", ".join(f"{name}={given[name]!r}" for name in _FILES if name in given)
        raise Misconfigured(
            f"redis_url: OpenSSL rejected {files or 'an ssl_ option'}: {error}; give files in PEM "
            "format, and the key of the certificate"
        ) from None


def _context(given: SSLConnection) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=given.ca_certs, capath=given.ca_path, cadata=given.ca_data
    )
    context.check_hostname = given.check_hostname
    context.verify_mode = given.cert_reqs
    for flag in given.ssl_include_verify_flags or ():
        context.verify_flags |= flag
    for flag in given.ssl_exclude_verify_flags or ():
        context.verify_flags &= ~flag
    if given.certfile:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(given.certfile, given.keyfile, given.certificate_password or "")
    if given.ssl_min_version is not None:
        context.minimum_version = ssl.TLSVersion(given.ssl_min_version)
    if given.ssl_ciphers:
        context.set_ciphers(given.ssl_ciphers)
    return context
