"""Which files of the context a build may see: the rules of .dockerignore.

A pattern that matches a folder holds for all that is in it, and the last pattern that matches
a path decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


class Ignore:
    """The patterns of one .dockerignore."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines()]
        patterns = [line for line in lines if line and not line.startswith("#")]
        self._rules = [(_regex(p.removeprefix("!")), p.startswith("!")) for p in patterns]

    def keeps(self, path: PurePosixPath) -> bool:
        """Whether a file of the context is there for COPY."""
        candidates = [str(path), *(str(parent) for parent in path.parents if parent.name)]
        keeps = True
        for regex, is_exception in self._rules:
            if any(regex.fullmatch(candidate) for candidate in candidates):
                keeps = is_exception
        return keeps


class Context:
    """The files that a build may copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ignore = Ignore((folder / ".dockerignore").read_text())

    def files(self, source: str) -> Iterator[tuple[Path, PurePosixPath]]:
        """Each file that `COPY source` brings, and its path below the destination."""
        found = self.folder / source
        paths = [found] if found.is_file() else sorted(found.rglob("*"))
        for path in paths:
            relative = PurePosixPath(path.relative_to(self.folder))
            if path.is_file() and self._ignore.keeps(relative):
                below = path.name if path == found else path.relative_to(found)
                yield path, PurePosixPath(below)


def _regex(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/?|\*|\?)", pattern.strip("/"))
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(part, re.escape(part)) for part in parts))
