"""Posts a webhook: to a public address unless another is allowed, once, and without redirects.

The name is resolved once and the connection goes to the address that was checked, so a name
server cannot return a private address in between. The response is treated as hostile: only its
status is used.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from functools import cache

from tributary.model.alert_target import Allowed, Hook

TIMEOUT_S = 5.0  # from the lookup of the name to the status of the response
HEAD_MAX_BYTES = 16_384
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_INTERIM = (100, 102, 103)  # followed by the status that counts


class NotSent(Exception):
    """It was not delivered; it may be sent again."""


class GivenUp(NotSent):
    """It was not delivered, and never will be."""


def is_public(address: Address) -> bool:
    """Whether an address is one of the Internet; those that contain another one are as that one."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


async def post(
    hook: Hook,
    headers: Mapping[str, str],
    body: bytes,
    allowed: Allowed,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Post a body.

    Raises:
        GivenUp: the receiver rejects this body, or wants no more.
        NotSent: anything else.
    """
    try:
        async with asyncio.timeout(timeout_s):
            address = await _resolve(hook, allowed)
            status = await _exchange(hook, address, headers, body)
    except TimeoutError:
        raise NotSent(f"no response within {timeout_s:g} s") from None
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise NotSent(f"{type(error).__name__}: {error}") from None
    if status in (400, 410, 413, 422):
        raise GivenUp(f"the receiver responded with {status}")
    if not 200 <= status < 300:
        raise NotSent(f"the receiver responded with {status}")


async def _resolve(hook: Hook, allowed: Allowed) -> str:
    """The address to connect to.

    Raises:
        NotSent: the name does not exist, or one of its addresses is not allowed.
    """
    is_named = hook.host.lower() in allowed.hosts
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(hook.host, hook.port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(place[0]).partition("%")[0] for *_, place in found))
    for text in addresses:
        address = ipaddress.ip_address(text)
        is_listed = any(address in network for network in allowed.networks)
        if not (is_named or is_listed or is_public(address)):
            raise NotSent(f"{text} is not a public address; list it in alert_webhook_allow")
        if hook.scheme == "http" and not (is_named or is_listed):
            raise NotSent("http is only for hosts in alert_webhook_allow; use https")
    return addresses[0]


async def _exchange(hook: Hook, address: str, headers: Mapping[str, str], body: bytes) -> int:
    """Send the request and return the status of the response."""
    context = _context() if hook.scheme == "https" else None
    reader, writer = await asyncio.open_connection(
        address, hook.port, ssl=context, limit=HEAD_MAX_BYTES,
        server_hostname=hook.host if context is not None else None,
    )  # fmt: skip
    try:
        writer.write(_request(hook, headers, body))
        await writer.drain()
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            status = _status(head)
            if status not in _INTERIM:
                return status
    finally:
        writer.transport.abort()


@cache
def _context() -> ssl.SSLContext:
    """Reading the certificates of the system takes some 20 ms."""
    return ssl.create_default_context()


def _request(hook: Hook, headers: Mapping[str, str], body: bytes) -> bytes:
    host = f"[{hook.host}]" if ":" in hook.host else hook.host
    is_default = hook.port == (443 if hook.scheme == "https" else 80)
    fields = {
        "Host": host if is_default else f"{host}:{hook.port}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "User-Agent": "Tributary",
        "Connection": "close",
        **headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {hook.target} HTTP/1.1\r\n{lines}\r\n".encode() + body


def _status(head: bytes) -> int:
    """The status of a response.

    Raises:
        ValueError: it is not HTTP.
    """
    version, _, rest = head.partition(b" ")
    number = rest[:3]
    if not version.startswith(b"HTTP/1.") or not number.isdigit() or len(number) != 3:
        raise ValueError(f"not a response of HTTP: {head[:40]!r}")
    return int(number)
