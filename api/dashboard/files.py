"""The files of the page, read and compressed at start; requests do not access the disk."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path
from typing import NamedTuple, Self

# A line that is only a comment, or empty, and indentation; a test makes sure that none is part of
# a text.
_COMMENT = re.compile(rb"^ *(//.*|/\*\*.*\*/)?\n|^ +", re.MULTILINE)
FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


class File(NamedTuple):
    """A file, ready to send."""

    type: str
    content: bytes
    gzipped: bytes
    etag: str

    @classmethod
    def of(cls, content: bytes, type_: str) -> Self:
        """Compress the content and compute its ETag."""
        etag = hashlib.sha256(content).hexdigest()[:16]
        return cls(type_, content, gzip.compress(content, mtime=0), etag)


def load() -> dict[str, File]:
    """Load every file, by its path in the folder; own modules without comments and indentation."""
    return {
        path.relative_to(FOLDER).as_posix(): File.of(_content(path), _TYPES[path.suffix])
        for path in sorted(FOLDER.rglob("*"))
        if path.is_file()
    }


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    is_own = path.suffix == ".js" and path.parent == FOLDER
    return _COMMENT.sub(b"", content) if is_own else content
