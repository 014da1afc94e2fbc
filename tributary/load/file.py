"""Reads files, plain or gzip, as lines, and computes fingerprints of their beginnings.

The only impure module of the package. gzip is detected by its first bytes, not by the name.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from tributary.errors import Misconfigured

_GZIP = b"\x1f\x8b"
_CHUNK_BYTES = 1 << 20
_LINE_MAX_BYTES = 16 << 20  # longer lines are cut, to bound memory


class Fingerprint(NamedTuple):
    """The size of a file, and the SHA-256 of its content and of some beginnings."""

    size_bytes: int
    sha256: str
    beginnings: dict[int, Any]  # length in bytes → hash object


def fingerprint(path: Path, lengths_bytes: Iterable[int] = ()) -> Fingerprint:
    """Hash the content of a file and its beginnings of these lengths, in one pass.

    Raises:
        Misconfigured: the file cannot be read completely.
    """
    digest, size_bytes = hashlib.sha256(), 0
    beginnings: dict[int, Any] = {}
    cuts = sorted(set(lengths_bytes), reverse=True)
    with _opened(path) as file:
        while chunk := file.read(_CHUNK_BYTES):
            while cuts and cuts[-1] <= size_bytes + len(chunk):
                cut = cuts.pop() - size_bytes
                beginnings[size_bytes + cut] = digest.copy()
                beginnings[size_bytes + cut].update(chunk[:cut])
            digest.update(chunk)
            size_bytes += len(chunk)
    return Fingerprint(size_bytes, digest.hexdigest(), beginnings)


def lines(path: Path, offset_bytes: int = 0) -> Iterator[bytes]:
    """The lines of a file from an offset in its content, each with its end.

    Raises:
        Misconfigured: the file cannot be read completely.
    """
    with _opened(path) as file:
        file.seek(offset_bytes)
        while line := file.readline(_LINE_MAX_BYTES):
            yield line


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as plain:
            is_gzip = plain.read(len(_GZIP)) == _GZIP
            plain.seek(0)
            yield cast(IO[bytes], gzip.GzipFile(fileobj=plain)) if is_gzip else plain
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Misconfigured(f"{path}: the gzip data is damaged: {error}") from None
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror or error}") from None
