"""Error messages for wrong paths and methods: most clients that meet one want to send readings. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

_COMPARED_MAX = 100  # characters of a path
_SIMILARITY_MIN = 0.75
_SEE_DOCS = "/docs lists all paths"


def where_readings_go(paths: Collection[str]) -> str:
    """Where to send readings, for a process that serves these paths."""
    role = "" if "/record" in paths else " of the ingest role"
    return f"readings go to POST /record{role}, and {_SEE_DOCS}"


def unknown_path(path: str, paths: Collection[str]) -> str:
    """The message of a 404, with the most similar of the paths that are served."""
    near: list[str] = []
    if len(path) <= _COMPARED_MAX:
        near = difflib.get_close_matches(path.lower(), paths, n=1, cutoff=_SIMILARITY_MIN)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"unknown path {path!r:.100}{hint}; {where_readings_go(paths)}"


def wrong_method(method: str, path: str, allowed: Iterable[str], paths: Collection[str]) -> str:
    """The message of a 405, with the methods that the path supports."""
    used = " or ".join(sorted({*allowed} - {"HEAD", "OPTIONS"}))
    return f"{path!r:.100} does not support {method!r:.20}; use {used}; {where_readings_go(paths)}"
