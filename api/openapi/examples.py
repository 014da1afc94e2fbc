"""Requests and their answers, as the document shows them; a test makes each and compares.

They stand in `examples.json` and are made in its order on an empty deployment, with their times
moved to the present.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlencode

import msgspec

from api.openapi.parts import JSON

When = Literal[
    "",
    "redis is away",
    "tokens are asked for",
    "the rate is limited",
    "somebody listens",
    "there is no lane",
]


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request, and what is answered; `name` is unique for its path."""

    path: str
    method: str
    name: str
    summary: str
    status: int
    answer: Any
    parameters: dict[str, str] = {}
    body: Any = None
    content_type: str = JSON
    when: When = ""
    token: str = ""  # of which devices, if it is sent at all

    @property
    def target(self) -> str:
        """Path and query of the request."""
        named = {k: v for k, v in self.parameters.items() if f"{{{k}}}" in self.path}
        path = self.path.format(**{k: quote(v) for k, v in named.items()})
        query = {k: v for k, v in self.parameters.items() if k not in named and k[0].islower()}
        return f"{path}?{urlencode(query, safe=',/')}" if query else path


EXAMPLES = msgspec.json.decode(
    Path(__file__).with_name("examples.json").read_bytes(), type=tuple[Example, ...]
)
