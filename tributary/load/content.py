"""Reads the files of a load as UTF-8 text: plain, gzip, members of zip archives, Parquet.

Archives and Parquet are detected by their first bytes, not by their names. Text in another
charset, or with the line ends of old Macs, is converted while it is read, and Parquet becomes
NDJSON, so positions and fingerprints are those of the converted content.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from charset_normalizer import from_bytes

from tributary.errors import Misconfigured
from tributary.load import parquet

_CHUNK_BYTES = 1 << 20
_LINE_MAX_BYTES = 4 << 20  # longer lines are cut, to bound memory
_HEAD_BYTES = 1 << 16
_MEMBERS_MAX = 10_000
_SUFFIXES = frozenset(
    (".csv", ".tsv", ".txt", ".tab", ".asc", ".dat", ".log", ".ndjson", ".jsonl", ".json")
)
_PACKED = frozenset((".gz", ".zip", ".parquet"))
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NOT_TEXT = {
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save as CSV, and load that",
    b"BZh": "compressed with bzip2; decompress it",
    b"\xfd7zXZ": "compressed with xz; decompress it",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; decompress it",
    b"SQLite format 3": "an SQLite database; export its table as CSV",
    b"%PDF": "a PDF; load the table as CSV",
    b"\x89HDF": "an HDF5 file; export the table as CSV",
}
# Letters and signs of western languages in Windows-1252, beside ASCII.
_WESTERN = frozenset("äöüÄÖÜßéèêëàâáãåæçñòóôõøœùúûíîïÉÈÀÅÆØÑÓÇ°²³µ·±‰%€§…«»º½")


class Content(NamedTuple):
    """A file, or a member of a zip archive."""

    path: Path
    member: str = ""

    @property
    def name(self) -> str:
        """The name for messages."""
        return f"{self.path.name}/{self.member}" if self.member else self.path.name

    @property
    def stem(self) -> str:
        """The name without folders and endings, for `--device-from-filename`."""
        stem = Path(self.member or self.path.name).name
        while (suffix := Path(stem).suffix.lower()) and suffix in _SUFFIXES | _PACKED:
            stem = Path(stem).stem
        return stem


class Fingerprint(NamedTuple):
    """The size of a file, and the SHA-256 of its content and of some beginnings."""

    size_bytes: int
    sha256: str
    beginnings: dict[int, Any]  # length in bytes → hash object


def expand(paths: Iterable[Path]) -> tuple[list[Content], list[str]]:
    """The contents of files, folders and zip archives, and the names of what is left out.

    Raises:
        Misconfigured: nothing in them can be loaded, or an archive is damaged.
    """
    found: list[Content] = []
    left_out: list[str] = []
    for path in paths:
        files = [path]
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and not _is_hidden(p, path))
            files = [p for p in inside if p.suffix.lower() in _SUFFIXES | _PACKED]
            left_out += [str(p) for p in inside if p not in files]
        for file in files:
            members, others = _members(file)
            found += members
            left_out += others
    if not found:
        named = ", ".join(map(str, paths))
        raise Misconfigured(f"{named}: there is no CSV, NDJSON or Parquet file in it")
    return found, left_out


def fingerprint(content: Content, lengths_bytes: Iterable[int] = ()) -> Fingerprint:
    """Hash a content and its beginnings of these lengths, in one pass.

    Raises:
        Misconfigured: it cannot be read completely.
    """
    digest, size_bytes = hashlib.sha256(), 0
    beginnings: dict[int, Any] = {}
    cuts = sorted(set(lengths_bytes), reverse=True)
    with opened(content) as file:
        while chunk := file.read(_CHUNK_BYTES):
            while cuts and cuts[-1] <= size_bytes + len(chunk):
                cut = cuts.pop() - size_bytes
                beginnings[size_bytes + cut] = digest.copy()
                beginnings[size_bytes + cut].update(chunk[:cut])
            digest.update(chunk)
            size_bytes += len(chunk)
    return Fingerprint(size_bytes, digest.hexdigest(), beginnings)


def lines(content: Content, offset_bytes: int = 0) -> Iterator[bytes]:
    """The lines of a content from an offset, each with its end.

    Raises:
        Misconfigured: it cannot be read completely.
    """
    with opened(content) as file:
        if file.seekable():
            file.seek(offset_bytes)
        while not file.seekable() and offset_bytes:
            offset_bytes -= len(file.read(min(offset_bytes, _CHUNK_BYTES))) or offset_bytes
        while line := file.readline(_LINE_MAX_BYTES):
            yield line


@contextmanager
def opened(content: Content) -> Iterator[IO[bytes]]:
    """A content as UTF-8.

    Raises:
        Misconfigured: it cannot be read, or is not text.
    """
    try:
        with _raw(content) as raw:
            yield _converted(raw)
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise Misconfigured(f"{content.name}: the compressed data is damaged: {error}") from None
    except (RuntimeError, NotImplementedError) as error:  # of zipfile: encrypted, or a rare method
        raise Misconfigured(f"{content.name}: {error}; extract the file first") from None
    except OSError as error:
        reason = error.strerror or error
        raise Misconfigured(f"{content.name} cannot be read: {reason}") from None


@contextmanager
def _raw(content: Content) -> Iterator[IO[bytes]]:
    if content.member:
        with zipfile.ZipFile(content.path) as archive, archive.open(content.member) as file:
            yield _inflated(file)
        return
    with content.path.open("rb") as file:
        yield _inflated(file)


def _inflated(file: IO[bytes]) -> IO[bytes]:
    is_gzip = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return cast(IO[bytes], gzip.GzipFile(fileobj=file)) if is_gzip else file


def _converted(file: IO[bytes]) -> IO[bytes]:
    """A file as UTF-8 with the line ends of Unix or Windows."""
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    for magic, what in _NOT_TEXT.items():
        if head.startswith(magic):
            raise Misconfigured(f"the file is {what}")
    if head.startswith(parquet.MAGIC):
        return io.BufferedReader(_Chunks(parquet.ndjson(file)))
    charset = _charset(head)
    is_mac = b"\r" in head and b"\n" not in head
    if charset == "utf-8" and not is_mac:
        if b"\0" in head:
            raise Misconfigured("the file is not text; load CSV, NDJSON or Parquet")
        return file
    return io.BufferedReader(_Chunks(_transcoded(file, charset, is_mac=is_mac)))


class _Chunks(io.RawIOBase):
    """A stream of the given chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            try:
                self._rest = next(self._chunks)
            except StopIteration:
                return 0
        part, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


def _transcoded(file: IO[bytes], charset: str, *, is_mac: bool) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(charset)("replace")
    while chunk := file.read(_HEAD_BYTES):
        text = decoder.decode(chunk)
        yield (text.replace("\r", "\n") if is_mac else text).encode()
    yield decoder.decode(b"", final=True).encode()


def _charset(head: bytes) -> str:
    """The charset of a text that begins with `head`; lines in another one are converted later."""
    if head.startswith(_UTF_16):
        return "utf-16"
    if zeros := head.count(0):
        even = head[::2].count(0)
        if zeros * 3 > len(head):
            return "utf-16-be" if even * 2 > zeros else "utf-16-le"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        western = head.decode("cp1252", "replace")
        if all(c in _WESTERN for c in western if not c.isascii()):
            return "cp1252"
        best = from_bytes(head[:8192]).best()
        return best.encoding if best is not None else "cp1252"
    return "utf-8"


def _members(path: Path) -> tuple[list[Content], list[str]]:
    """The contents of a file: itself, or those of a zip archive; and what is left out."""
    try:
        with path.open("rb") as file:
            if file.read(4) != b"PK\x03\x04":
                return [Content(path)], []
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise Misconfigured(f"{path}: the zip archive is damaged: {error}") from None
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror or error}") from None
    if any(name == "[Content_Types].xml" for name in names) or "mimetype" in names:
        raise Misconfigured(f"{path} is a spreadsheet: save as CSV, and load that")
    if len(names) > _MEMBERS_MAX:
        raise Misconfigured(f"{path}: more than {_MEMBERS_MAX} files; extract the archive")
    wanted = [
        name
        for name in names
        if Path(name).suffix.lower() in (_SUFFIXES | _PACKED) - {".zip"}
        and not any(part.startswith((".", "__MACOSX")) for part in Path(name).parts)
    ]
    return [Content(path, name) for name in wanted], [
        f"{path}/{name}" for name in names if name not in wanted
    ]


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)
