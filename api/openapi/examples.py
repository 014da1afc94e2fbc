"""The example requests and responses of the document.

Those of a door are in `doors/NAME.json`, those of the Prometheus API in `prometheus.json`, all
others in `examples.json`. A test sends the requests in
this order to an empty deployment, with their times moved to the present, and compares the
responses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlencode

import msgspec

from api.openapi.operation_parts import JSON

When = Literal[
    "",
    "Redis is unavailable",
    "tokens are required",
    "the rate is limited",
    "a client listens",
    "without the lane",
]


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request and its response; `name` is unique within the path and method."""

    path: str
    method: str
    name: str
    summary: str
    status: int
    response: Any
    parameters: dict[str, str] = {}
    body: Any = None
    content_type: str = JSON
    when: When = ""
    token: str = ""  # name of the token to send, if any

    @property
    def target(self) -> str:
        """Path and query string of the request."""
        named = {k: v for k, v in self.parameters.items() if f"{{{k}}}" in self.path}
        path = self.path.format(**{k: quote(v) for k, v in named.items()})
        query = {k: v for k, v in self.parameters.items() if k not in named and "-" not in k}
        return f"{path}?{urlencode(query, safe=',/')}" if query else path


_FOLDER = Path(__file__).parent
_FILES = (
    *(_FOLDER / f"{name}.json" for name in ("examples", "prometheus")),
    *sorted(_FOLDER.glob("doors/*.json")),
)
EXAMPLES = tuple(
    example
    for path in _FILES
    for example in msgspec.json.decode(path.read_bytes(), type=list[Example])
)
