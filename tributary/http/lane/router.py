"""From the head of a request to its handler, cached by the bytes of the head."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from tributary.http.lane.head import Head, Heads, Rejection
from tributary.http.lane.request import Handler

_NO_ROUTE = (None, re.compile(b"(?!)"))
_LINES_MAX = 256  # more would evict useful lines from the processor's cache
_CACHED_ROUTES_MAX = 4_096

Target = tuple[Handler, Any]


class Route(NamedTuple):
    """A path that the lane serves: methods, and the query strings it supports.

    `{name}` in the path is a parameter of letters, digits and `._~:-`; Flask serves the others.
    """

    path: str
    methods: tuple[str, ...]
    query: str
    handler: Handler
    prepare: Callable[..., Any] = bytes  # query string, path parameters → `Request.query`
    # The response to a body over the limit, if it is not the standard one.
    too_large: Callable[[Rejection], bytes] | None = None


class CachedRoute(msgspec.Struct, gc=False):
    """The result for a head that was seen before: equal bytes have an equal result."""

    raw: bytes  # the head, with the empty line at its end
    request_bytes: int  # of head and body
    head: Head
    handler: Handler
    query: Any


class Router:
    """Finds the handler of a request."""

    def __init__(self) -> None:
        self.heads = Heads()
        self.cached_routes: dict[bytes, CachedRoute] = {}  # by request line and header block
        self._routes: dict[bytes, tuple[Route | None, re.Pattern[bytes]]] = {}
        self._fixed_lines: dict[bytes, Target] = {}  # those without a query string
        self._lines: dict[bytes, Target] = {}
        self._templates: list[tuple[re.Pattern[bytes], Route]] = []
        self._new_line = b""  # the last one that was added to `_lines`

    def add(self, routes: Iterable[Route]) -> None:
        """Serve these routes."""
        for route in routes:
            if "{" in route.path:
                self._templates.append((_template(route), route))
                continue
            pattern = re.compile(b"(%b) HTTP/1\\.1" % route.query.encode())
            for method in route.methods:
                line = f"{method} {route.path}".encode()
                self._routes[line] = (route, pattern)
                self._fixed_lines[line + b" HTTP/1.1"] = (route.handler, route.prepare(b""))

    def target(self, line: bytes) -> Target | None:
        """The handler of a request line and its prepared query; None: not a route of the lane."""
        cached = self._fixed_lines.get(line) or self._lines.get(line)
        if cached is not None:
            return cached
        target = self._match(line)
        if target is not None:
            if len(self._lines) >= _LINES_MAX:
                self._lines.clear()
            self._lines[line] = target
            self._new_line = line
        return target

    def _match(self, line: bytes) -> Target | None:
        path, _, rest = line.partition(b"?")
        route, pattern = self._routes.get(path, _NO_ROUTE)
        if route is not None:
            match = pattern.fullmatch(rest)
            return None if match is None else (route.handler, route.prepare(match[1]))
        for template, templated in self._templates:
            if (match := template.fullmatch(line)) is not None:
                params = match.groupdict(b"")
                query = params.pop("_query")
                named = {name: value.decode() for name, value in params.items()}
                return templated.handler, templated.prepare(query, **named)
        return None

    def too_large(self, line: bytes) -> Callable[[Rejection], bytes] | None:
        """What responds to a body over the limit, if the path of a request line has its own."""
        path = line.rpartition(b" HTTP/")[0].partition(b"?")[0]
        route, _ = self._routes.get(path, _NO_ROUTE)
        if route is None:
            route = next((r for template, r in self._templates if template.fullmatch(line)), None)
        return None if route is None else route.too_large

    def cache_route(self, data: bytes) -> CachedRoute | None:
        """The route of a complete head, if its block is cached and needs no special treatment.

        The body of such a request is not counted against the budget: it is small, and a
        connection has at most one of them.
        """
        line, _, block = data.partition(b"\r\n")
        head = self.heads.cached(block)
        target = self.target(line) if head is not None and head.is_simple else None
        if head is None or target is None:
            return None
        cached = CachedRoute(data, len(data) + head.length, head, *target)
        # Cached when the line is met again: one request each for a million devices fills nothing.
        if line is not self._new_line:
            if len(self.cached_routes) >= _CACHED_ROUTES_MAX:
                self.cached_routes.clear()
            self.cached_routes[data] = cached
        return cached


def _template(route: Route) -> re.Pattern[bytes]:
    """The request lines of a path with parameters."""
    methods, path = "|".join(route.methods), re.escape(route.path)
    path = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[A-Za-z0-9._~:-]+)", path)
    return re.compile(rf"(?:{methods}) {path}(?:\?(?P<_query>{route.query}))? HTTP/1\.1".encode())
