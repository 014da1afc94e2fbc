"""Requests to `GET /record`: readings in a query string."""

from __future__ import annotations

from typing import TYPE_CHECKING

from differential.wire import Request

if TYPE_CHECKING:
    from differential.generator import Generator

_QUERIES = [
    b"device=car-1&engine_temperature=92.3", b"device=a//b&a=1&recorded_at=1767225600",
    b"a=1", b"a=1&a=2", b"a=", b"a", b"", b"&", b"=", b"a=1&b=ok", b"a=nan", b"a=1e999", b"a=%31",
    b"device=a+b&a=1", b"device=a%20b&a=1", b"device=%ff&a=1", b"deviceId=7&a=1", b"a=1&%ff=2",
    b"device=x&mac=y&a=1", b"ts=1767225600&a=1", b"ts=5&a=1", b"token=&a=1", b"token=x", b"9a=1",
    b"a=1&recorded_at=2026-01-01T00:00:00+01:00", b"a=1&recorded_at=2026-01-01T00:00:00Z",
    b"PASSKEY=A&tempf=79.3", b"id=1&lat=2&lon=3", b"on_error=skip&a=1", b"a.b=1&_x=true", b"a=1#b",
    b"m=" + b"1" * 300, b"&".join(b"m%d=1" % n for n in range(65)), b"a=1;b=2", b"a==1", b"a=1&&b=2",
]  # fmt: skip


def request(client: Generator) -> Request:
    """Half of them are sent by a browser, or with a key."""
    rng = client.rng
    fields = [(b"Idempotency-Key", client.key())] if rng.random() < 0.2 else []
    if rng.random() < 0.2:
        fields.append((b"Sec-Fetch-Site", rng.choice([b"cross-site", b"same-origin", b"none"])))
    content = rng.choice([b"", b'{"a":1}']) if rng.random() < 0.05 else None
    return client.framed(b"GET", b"/record?" + rng.choice(_QUERIES), fields, content)
