"""Line protocol: valid lines, and every kind of invalid one."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from differential import bodies
from differential.wire import Request

if TYPE_CHECKING:
    from differential.generator import Generator

_HEADS = [
    b"engine,device=car-1", b"engine,device=car-2", b"cpu,host=van/3", b"room,floor=2,side=left",
    b"m", b"disk,path=C:\\ x", b"a\\ b,k\\==v\\,w", "°C,entity_id=küche".encode(), b"a,host=a\\ b",
]  # fmt: skip
_BAD_HEADS = [b"", b",a=b", b"a,", b"a,b", b"a,b=", b"a,b=1,b=2", b"a,b=c=d", b"\xff", b"a,device=\xe9",
              b"a,host=" + b"x" * 129, b"9" * 70]  # fmt: skip
_FIELDS = [b"f=1", b"f=1.5,g=2i", b"f=-1e3", b"on=true", b'f=1,s="a \\" b"', b's="x"', b"f=18u",
           b"u=1i,v=f", b"f\\ g=.5", b's="a\nb",f=1']  # fmt: skip
_BAD_FIELDS = [b"", b"f", b"f=", b"=1", b"f=abc", b"f=nan", b"f=1e999", b"f=1,f=2", b"f=1,", b'f="x',
               b"f=1=2", b"f=99999999999999999999i", b"f-g=1,f_g=2"]  # fmt: skip
_QUERIES = {
    b"/write": [b"?db=x"] * 8 + [b"?db=x&precision=ms", b"", b"?db=", b"?db=x&precision=q",
        b"?db=x&precision=h", b"?db=x&precision=u", b"?db=%20a&rp=&consistency=any", b"?db=x&u=a&p=b",
        b"?db=x&token=nothing", b"?precision=s&db=x", b"?db=x#f"],
    b"/api/v2/write": [b"?org=o&bucket=b"] * 8 + [b"", b"?precision=ms", b"?precision=m",
        b"?bucket=b%2Frp&org=&precision=ns", b"?precision=us&p=x", b"?precision="],
    b"/api/v3/write_lp": [b"?db=x"] * 6 + [b"?db=x&precision=auto", b"?precision=second", b"",
        b"?db=x&accept_partial=false", b"?accept_partial=no", b"?precision=nanosecond&no_sync=true"],
    b"/ping": [b"", b"", b"?verbose=true", b"?verbose=0", b"?wait_for_leader=1s", b"?verbose"],
    b"/query": [b"?q=SHOW+DATABASES", b"?q=CREATE%20DATABASE%20x", b"", b"?q=", b"?q=SELECT+1",
        b"?q=SHOW+DATABASES%3BSHOW+DATABASES&db=y", b"?db=x&q=create+database+%22a+b%22", b"?p=x"],
}  # fmt: skip


def write(path: bytes) -> Callable[[Generator], Request]:
    """A generator of requests to a path that takes lines."""

    def generate(generator: Generator) -> Request:
        rng = generator.rng
        body = b"\n".join(_line(rng) for _ in range(rng.choice([1, 1, 2, 5, 20, 60])))
        body += rng.choice([b"", b"\n", b"\n\n", b"\r\n", b"\n# end"])
        if rng.random() < 0.05:
            body = rng.choice([b"", b"\n", b"#", b"\0", b'"', b"\\", b"\xff\xfe", body[:-3]])
        fields = [(b"Content-Type", rng.choice([b"text/plain; charset=utf-8", b"x", b""]))]
        if rng.random() < 0.2:
            fields.append((b"Content-Encoding", rng.choice([b"gzip", b"gzip", b"br"])))
            body = bodies.compressed(rng, body, 4096)
        return generator.framed(b"POST", path + rng.choice(_QUERIES[path]), fields, body)

    return generate


def ping(generator: Generator) -> Request:
    """A request to `/ping`."""
    method = generator.rng.choice([b"GET", b"GET", b"HEAD", b"POST"])
    target = b"/ping" + generator.rng.choice(_QUERIES[b"/ping"])
    return generator.framed(method, target, [], None)


def query(generator: Generator) -> Request:
    """A request to `/query`, with the statement in the query string or the body."""
    rng = generator.rng
    method = rng.choice([b"GET", b"POST", b"POST"])
    body = (
        rng.choice([None, b"q=SHOW+DATABASES", b"q=%ff", b"", b"x" * 50])
        if method == b"POST"
        else None
    )
    fields = [(b"Content-Type", b"application/x-www-form-urlencoded")] if body else []
    return generator.framed(method, b"/query" + rng.choice(_QUERIES[b"/query"]), fields, body)


def _line(rng: random.Random) -> bytes:
    head = rng.choice(_HEADS if rng.random() < 0.95 else _BAD_HEADS)
    fields = rng.choice(_FIELDS if rng.random() < 0.95 else _BAD_FIELDS)
    time_ns = bodies.T_MS * 1_000_000 + rng.randrange(10**15)
    time = rng.choice(
        [b" %d" % time_ns] * 5 + [b"", b"  %d " % time_ns, b" x", b" -1", b" 1", b" 1.5"]
    )
    return head + b" " + fields + time
