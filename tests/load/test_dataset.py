"""Data sets: what is guessed of a file, and what becomes of its rows."""

from __future__ import annotations

import contextlib
import gzip
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.datasets import column, planned, read, readings

from tributary.errors import Misconfigured
from tributary.load import file, file_records, guess
from tributary.load.file_records import Lines
from tributary.load.plan import Overrides
from tributary.load.row import Reader

DATA = Path(__file__).parents[1] / "data"
REAL = Path(__file__).parents[2].parent / "shared" / "data" / "obd_4drivers.csv"
FILES = [
    DATA / "ugly.csv",
    pytest.param(REAL, marks=pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is not there")),
]


class TestTheUglyFile:
    @pytest.mark.parametrize("path", FILES)
    def test_device_time_and_the_main_metrics_are_found(self, path: Path):
        plan = planned(path.read_bytes())
        assert plan.form.delimiter == ";"
        assert plan.device is not None
        assert plan.device.name == "VEHICLE_ID"
        assert plan.time is not None
        assert (plan.time.name, plan.time.distinct) == ("TIME", 1)
        metrics = {column.name: column.metric for column in plan.metrics}
        assert metrics["ENGINE_COOLANT_TEMP"] == "engine_temperature"
        assert metrics["ENGINE_RPM"] == "engine_rpm"
        assert metrics["SPEED"] == "speed"

    @pytest.mark.parametrize("path", FILES)
    def test_every_row_is_read_without_a_warning(self, path: Path):
        rows = read(path.read_bytes())
        assert rows
        assert [row for row in rows if row.reading is None or row.warnings] == []
        assert {row.reading["recorded_at"] for row in rows} == {1_510_000_000_000}

    @pytest.mark.parametrize("path", FILES)
    def test_columns_without_measurements_are_left_out(self, path: Path):
        plan = planned(path.read_bytes())
        assert column(plan, "ord").left_out == "numbers the rows"
        assert "decimal marks are missing" in column(plan, "LATITUDE").left_out
        assert "codes" in column(plan, "DTC_NUMBER").left_out
        assert "codes" in column(plan, "TROUBLE_CODES").left_out

    @pytest.mark.parametrize("path", FILES)
    def test_each_column_has_its_own_decimal_mark(self, path: Path):
        plan = planned(path.read_bytes())
        assert column(plan, "ALTITUDE").mark == "."
        assert column(plan, "MAF").mark == ","

    def test_a_row_has_the_values_of_the_file(self):
        row = read((DATA / "ugly.csv").read_bytes())[0]
        assert row.line == 2
        assert row.reading == {
            "device": "van1",
            "recorded_at": 1_510_000_000_000,
            "altitude": 41.0,
            "engine_temperature": 71.0,
            "engine_rpm": 837.0,
            "maf": 1.1,
            "speed": 1.0,
            "engine_runtime": 91.0,
        }

    def test_a_column_with_empty_first_cells_is_read(self):
        content = (DATA / "ugly.csv").read_bytes()
        head = content.splitlines(keepends=True)[:11]
        form = file_records.form_of(head)
        plan = guess.plan(form, list(file_records.records(Lines(head), form)), Overrides())
        assert column(plan, "TIMING_ADVANCE").example is None
        lines = Lines(content.splitlines(keepends=True))
        rows = list(map(Reader(plan).read, file_records.records(lines, form)))
        assert rows[-1].reading["timing_advance"] == 80.5

    def test_units_in_cells_are_parsed_and_a_cell_in_another_unit_is_left_out(self):
        rows = read((DATA / "units.csv").read_bytes())
        assert rows[0].reading == {
            "device": "units1",
            "recorded_at": 1_502_902_504_267,
            "engine_temperature": 80.0,
            "engine_rpm": 2124.0,
            "intake_manifold_pressure": 100.0,
            "throttle_pos": 74.5,
            "maf": 4.73,
        }
        assert "engine_rpm" not in rows[1].reading
        assert rows[1].warnings == ()
        assert rows[2].warnings == ("ENGINE_COOLANT_TEMP: '176F' is not in C like the others",)
        assert rows[2].reading["throttle_pos"] == 1000.5


class TestForms:
    @pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
    def test_the_delimiter_is_detected(self, delimiter: str):
        rows = [["device", "speed", "temp"], ["a", "1.5", "2"], ["b", "3", "4.5"]]
        content = "\n".join(delimiter.join(row) for row in rows).encode()
        assert planned(content).form.delimiter == delimiter

    def test_decimal_commas_are_not_mistaken_for_delimiters(self):
        content = b"device;speed;temp\na;1,5;2,25\nb;3,5;4,75\n"
        assert readings(content)[1] == {"device": "b", "speed": 3.5, "temp": 4.75}

    def test_the_delimiter_option_overrides_detection(self):
        assert readings(b"device speed\na 1\n", delimiter=" ") == [{"device": "a", "speed": 1.0}]

    def test_a_byte_order_mark_and_windows_line_ends_are_removed(self):
        assert readings(b"\xef\xbb\xbfdevice,speed\r\na,1\r\n") == [{"device": "a", "speed": 1.0}]

    def test_text_that_is_not_utf_8_is_read_as_windows_1252(self):
        plan = planned("device,Temp (°C)\na,1\n".encode("cp1252"))
        assert plan.metrics[0].name == "Temp (°C)"

    def test_a_quoted_cell_may_contain_delimiter_and_line_end(self):
        rows = read(b'device,note,speed\na,"x,\ny",1\nb,z,2\n')
        assert [(row.line, row.reading["speed"]) for row in rows] == [(2, 1.0), (4, 2.0)]

    def test_ndjson_keeps_names_and_flattens_objects_with_dots(self):
        content = (
            b'{"device":"a","recorded_at":"2026-11-22T10:00:00Z","Gyro":{"X":1}}\n\n'
            b'{"device":"a","recorded_at":"2026-11-22T10:00:01Z","later":2,"w":"text"}\n'
        )
        assert readings(content) == [
            {"device": "a", "recorded_at": 1_795_341_600_000, "Gyro.X": 1.0},
            {"device": "a", "recorded_at": 1_795_341_601_000, "later": 2.0},
        ]

    def test_a_key_that_is_not_in_the_sample_is_read(self):
        head = [b'{"a":1}\n']
        form = file_records.form_of(head)
        reader = Reader(
            guess.plan(form, list(file_records.records(Lines(head), form)), Overrides())
        )
        later = file_records.Record(2, {"a": 1, "b": 2, "c": "text", "d": None})
        assert reader.read(later).reading == {"a": 1.0, "b": 2.0}

    @pytest.mark.parametrize(
        ("content", "remedy"),
        [
            (b"", "empty"),
            (b"\n \n", "empty"),
            (b"[1]\n", "one object per line"),
            (b"\xff\xfea\x00", "UTF-8"),
            (b"1,2,3\n4,5,6\n", "not a line of column names"),
        ],
    )
    def test_files_that_are_not_data_sets_are_refused_with_a_remedy(
        self, content: bytes, remedy: str
    ):
        with pytest.raises(Misconfigured, match=remedy):
            planned(content)


class TestBadRows:
    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            (b"a,1\n", "2 cells in a row of 3 columns"),
            (b"a,1,2,3\n", "4 cells in a row of 3 columns"),
            (b"a b,1,2\n", "device 'a b' is not a valid name"),
            (b",1,2\n", "device '' is not a valid name"),
            (b"a,x,y\n", "speed: 'x' is not a number; temp: 'y' is not a number"),
            (b"a,,\n", "the row contains no numbers"),
            (b"a," + b"9" * 200_000 + b",1\n", "not CSV"),
        ],
    )
    def test_an_invalid_row_has_a_line_and_a_reason_and_the_others_are_read(
        self, row: bytes, reason: str
    ):
        rows = read(b"device,speed,temp\na,1,2\n" + row + b"a,3,4\n")
        assert [row.reading and row.reading["speed"] for row in rows] == [1.0, None, 3.0]
        assert rows[1].line == 3
        assert reason in rows[1].reason

    def test_an_invalid_cell_does_not_affect_others(self):
        rows = read(b"device,speed,temp\na,1,2\na,x,4\na,5,6\n")
        assert rows[1].reading == {"device": "a", "temp": 4.0}
        assert rows[1].warnings == ("speed: 'x' is not a number",)

    def test_rows_of_empty_cells_are_skipped(self):
        assert len(read(b"device,speed\na,1\n,\n\n  , \na,2\n")) == 2

    def test_empty_cells_beyond_the_columns_are_ignored(self):
        assert readings(b"device,speed\na,1,,\n") == [{"device": "a", "speed": 1.0}]

    @given(st.lists(st.binary(max_size=40), max_size=8), st.sampled_from([b",", b";"]))
    def test_any_csv_is_read_or_refused(self, cells: list[bytes], by: bytes):
        rows = [b"device,speed,time".replace(b",", by), by.join(cells), b"\n".join(cells)]
        with contextlib.suppress(Misconfigured):
            read(b"\n".join(rows))

    @given(st.binary(max_size=300))
    def test_any_ndjson_is_read_or_refused(self, content: bytes):
        for row in read(b'{"device":"a","speed":1}\n' + content):
            assert row.reading is not None or row.reason


class TestFiles:
    def test_gzip_is_detected_by_its_content(self, tmp_path: Path):
        path = tmp_path / "data.csv"
        path.write_bytes(gzip.compress(b"a\nb\n"))
        assert list(file.lines(path)) == [b"a\n", b"b\n"]
        assert list(file.lines(path, offset_bytes=2)) == [b"b\n"]

    def test_damaged_gzip_is_refused(self, tmp_path: Path):
        path = tmp_path / "data.csv.gz"
        path.write_bytes(gzip.compress(b"abc\n" * 1000)[:-12])
        with pytest.raises(Misconfigured, match="damaged"):
            file.fingerprint(path)

    def test_a_fingerprint_has_the_requested_beginnings(self, tmp_path: Path):
        path = tmp_path / "data"
        path.write_bytes(b"abcdef")
        whole = file.fingerprint(path, [0, 3, 6, 9])
        (tmp_path / "abc").write_bytes(b"abc")
        assert set(whole.beginnings) == {0, 3, 6}
        assert whole.beginnings[3].hexdigest() == file.fingerprint(tmp_path / "abc").sha256
        assert whole.beginnings[6].hexdigest() == whole.sha256

    def test_the_position_in_the_file_is_exact_after_each_record(self):
        content = b'device,note\na,"1\n2"\nb,3\n'
        lines = Lines(content.splitlines(keepends=True))
        records = file_records.records(lines, file_records.Form("CSV", ",", ("device", "note")))
        ends = [lines.offset_bytes for _ in islice(records, 2)]
        assert ends == [len(b'device,note\na,"1\n2"\n'), len(content)]
