"""Containers of data sets: gzip, zip, folders, charsets, Parquet, and what is refused."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from support.datasets import CATALOGUE, NOW_MS, readings

from tributary.errors import Misconfigured
from tributary.load import Options, content, evidence, survey_all, table
from tributary.load.content import Content
from tributary.load.evidence import Evidence
from tributary.load.table import Form, Lines

CSV = "time;device;temp\n2025-11-25T15:22:01Z;Küche;21.5\n2025-11-25T15:22:02Z;Küche;22.5\n"
EXPECTED = [
    {"device": "Kuche", "recorded_at": 1_764_084_121_000, "temp": 21.5},
    {"device": "Kuche", "recorded_at": 1_764_084_122_000, "temp": 22.5},
]


def zipped(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return packed.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        CSV.encode(),
        CSV.encode("utf-8-sig"),
        CSV.encode("utf-16"),
        CSV.encode("utf-16-le"),
        CSV.encode("cp1252"),
        CSV.replace("\n", "\r\n").encode(),
        CSV.replace("\n", "\r").encode(),
        gzip.compress(CSV.encode("utf-16")),
    ],
    ids=["utf-8", "bom", "utf-16", "utf-16-le", "cp1252", "windows", "mac", "gzip"],
)
def test_charsets_and_line_ends(data: bytes):
    assert readings(data) == EXPECTED


def test_another_charset_is_detected():
    text = "time;device;temp\n" + "2025-11-25T15:22:01Z;Кухня маленькая-1;21.5\n" * 20
    with pytest.raises(Misconfigured, match="Кухня"):
        readings(text.encode("cp1251"), decimal=".")


def test_every_file_of_an_archive_and_of_a_folder_is_loaded(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.zip").write_bytes(
        zipped(x__csv=CSV.encode(), y__csv=CSV.encode(), z__png=b"-")
    )
    (tmp_path / "in" / "b.csv").write_bytes(CSV.encode())
    (tmp_path / "in" / "notes.md").write_bytes(b"-")
    sources, left_out = survey_all([tmp_path], Options(now_ms=NOW_MS), CATALOGUE)
    assert [source.name for source in sources] == ["a.zip/x.csv", "a.zip/y.csv", "b.csv"]
    assert [note.split("/")[-1].split(":")[0] for note in left_out] == ["notes.md", "z.png"]


def test_a_file_without_metrics_in_an_archive_is_left_out(tmp_path: Path):
    path = tmp_path / "a.zip"
    path.write_bytes(zipped(x__csv=CSV.encode(), empty__csv=b"time,v\n"))
    sources, left_out = survey_all([path], Options(now_ms=NOW_MS), CATALOGUE)
    assert [source.name for source in sources] == ["a.zip/x.csv"]
    assert "there are no rows" in left_out[0]


def test_parquet(tmp_path: Path):
    moments = [datetime(2025, 11, 25, 15, 22, second, tzinfo=UTC) for second in (1, 2)]
    rows = pa.table({"time": moments, "device": ["Küche", "Küche"], "temp": [21.5, 22.5]})
    packed = io.BytesIO()
    parquet.write_table(rows, packed)
    assert readings(packed.getvalue()) == EXPECTED
    with pytest.raises(Misconfigured, match="cannot be read"):
        readings(packed.getvalue()[:-9])


@pytest.mark.parametrize(
    ("data", "remedy"),
    [
        (zipped(**{"[Content_Types]__xml": b"", "xl": b""}), "save as CSV"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 600, "save as CSV"),
        (gzip.compress(CSV.encode() * 99)[:-12], "damaged"),
        (zipped(x__csv=CSV.encode() * 99)[:90], "damaged"),
        (b"SQLite format 3\0", "export its table as CSV"),
        (b"time,v\n1,\0\x01\x02\n", "not text"),
        (zipped(x__png=b""), "there is no CSV"),
    ],
    ids=["xlsx", "xls", "gzip", "zip", "sqlite", "binary", "images"],
)
def test_what_cannot_be_loaded_is_refused_with_a_remedy(data: bytes, remedy: str, tmp_path: Path):
    path = tmp_path / "data.bin"
    path.write_bytes(data)
    with pytest.raises(Misconfigured, match=remedy):
        survey_all([path], Options(now_ms=NOW_MS), CATALOGUE)


def test_lines_begin_at_an_offset_also_of_compressed_content(tmp_path: Path):
    for name, data in (
        ("a", b"a\nb\n"),
        ("b", gzip.compress(b"a\nb\n")),
        ("c", "a\nb\n".encode("utf-16")),
    ):
        (tmp_path / name).write_bytes(data)
        assert list(content.lines(Content(tmp_path / name), 2)) == [b"b\n"]


def test_a_fingerprint_has_the_requested_beginnings(tmp_path: Path):
    (tmp_path / "data").write_bytes(b"abcdef")
    (tmp_path / "abc").write_bytes(b"abc")
    whole = content.fingerprint(Content(tmp_path / "data"), [0, 3, 6, 9])
    assert set(whole.beginnings) == {0, 3, 6}
    assert whole.beginnings[3].hexdigest() == content.fingerprint(Content(tmp_path / "abc")).sha256
    assert whole.beginnings[6].hexdigest() == whole.sha256


def test_the_position_in_the_file_is_exact_after_each_record():
    data = b'device,note\na,"1\n2"\nb,3\n'
    lines = Lines(data.splitlines(keepends=True))
    records = table.records(lines, Form("CSV", ",", ("device", "note"), 1))
    ends = [lines.offset_bytes for _ in islice(records, 2)]
    assert ends == [len(b'device,note\na,"1\n2"\n'), len(data)]


def test_keys_beyond_the_limit_are_refused():
    data = json.dumps({f"k{n}": n for n in range(table.COLUMNS_MAX + 1)}).encode()
    with pytest.raises(Misconfigured, match="more than 4096 different keys"):
        readings(data)


def test_evidence_of_any_number_of_rows_is_bounded():
    form = Form("CSV", ",", ("time", "text", "v"), 1)
    rows = (
        f"2025-01-01T00:00:{n % 60:02d}Z,word {chr(97 + n % 26) * (n % 700)},{n}\n"
        for n in range(30_000)
    )
    found = Evidence(form.columns)
    found.add_all(table.records(Lines(row.encode() for row in rows), form))
    text = found.columns["text"]
    assert len(text.shapes) <= evidence.SHAPES_MAX
    assert text.distinct is None
    assert text.filled == found.rows
    assert len(found.sample) <= evidence.ROWS_KEPT_MAX
    assert max(len(cell) for row in found.sample for cell in row) <= 128


def test_more_quantities_than_the_limit_are_refused():
    names = "".join(f"2025-11-25T15:22:01Z,q{n},1\n" for n in range(evidence.DISTINCT_MAX + 1))
    with pytest.raises(Misconfigured, match="more than 500 different names"):
        readings(f"time,metric,value\n{names}".encode(), metric_column="metric")


def test_too_many_files_in_an_archive_are_refused(tmp_path: Path):
    path = tmp_path / "many.zip"
    path.write_bytes(zipped(**{f"f{n}__csv": b"" for n in range(10_001)}))
    with pytest.raises(Misconfigured, match="more than 10000 files"):
        survey_all([path], Options(now_ms=NOW_MS), CATALOGUE)


def test_a_line_beyond_the_limit_is_cut(tmp_path: Path):
    (tmp_path / "long.csv").write_bytes(b"x" * (5 << 20) + b"\n")
    assert [len(line) for line in content.lines(Content(tmp_path / "long.csv"))] == [
        4 << 20,
        (1 << 20) + 1,
    ]
