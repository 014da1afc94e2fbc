"""`tributary load`: loads real files into a real server; repeated loads count once."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest
from support.loading import Load, Table, settled
from support.processes import Deployment

DATA = Path(__file__).parents[1] / "data"
FILES = DATA / "files"
REAL = Path(__file__).parents[2].parent / "shared" / "data" / "obd_4drivers.csv"


class TestFiles:
    def test_the_ugly_file_needs_no_options(self, load: Load, deployment: Deployment):
        status, text = load(DATA / "ugly.csv")
        assert status == 0, text
        assert "sent 30, accepted 30, refused 0, skipped 0" in text
        settled(deployment, "van1", 11, "engine_temperature")
        _, response = deployment.get("/collect?device=van1")
        # All have the same time, so the newest is the one that stands last in the file.
        assert response["current_engine_temperature"] == 82.0
        assert response["current_engine_rpm"] == 1244.0
        assert response["current_speed"] == 12.0
        assert response["average_engine_temperature"] == 77.0
        assert response["recorded_at"] == "2017-11-06T20:26:40.000Z"

    @pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is not there")
    def test_the_real_file_needs_no_options(self, load: Load, deployment: Deployment):
        status, text = load(REAL)
        assert status == 0, text
        assert "sent 1743, accepted 1743, refused 0, skipped 0" in text
        settled(deployment, "control1", 593, "altitude")
        _, response = deployment.get("/collect?device=control1")
        assert response["current_engine_temperature"] == 90.0
        assert response["average_engine_temperature"] == 89.5  # five times 89, five times 90
        assert response["current_engine_rpm"] == 764.0
        assert response["current_speed"] == 9.0

    def test_the_plan_is_shown(self, load: Load):
        status, text = load(DATA / "units.csv", "--dry-run")
        assert status == 0, text
        assert "columns by ';'" in text
        assert "74,50% → 74.5 %" in text
        assert "1502902504267 → 2017-08-16T16:55:04.267Z" in text
        assert "1502902504267 is read as a number since 1970" in text

    def test_a_dry_run_sends_nothing(self, load: Load, deployment: Deployment, table: Table):
        status, text = load(table(5, "load-dry"), "--dry-run", url="http://127.0.0.1:9")
        assert (status, "dry run: 5 rows read, nothing sent" in text) == (0, True), text
        assert deployment.get("/collect?device=load-dry")[0] == 404

    def test_options_override_guesses(self, load: Load, deployment: Deployment, tmp_path: Path):
        path = tmp_path / "own.txt"
        path.write_text("who|when|v|w\nload-own|1700000000|1.234|5\n")
        columns = ("--device-column", "who", "--time-column", "when", "--delimiter", "|")
        status, text = load(path, *columns, "--decimal", ",", "--map", "v=volume", "--map", "w=")
        assert status == 0, text
        settled(deployment, "load-own", 1, "volume")
        _, response = deployment.get("/collect?device=load-own")
        assert response["current_volume"] == 1234.0
        assert "current_w" not in response

    def test_compressed_ndjson_is_loaded(self, load: Load, deployment: Deployment, tmp_path: Path):
        path = tmp_path / "lines.ndjson.gz"
        path.write_bytes(
            gzip.compress(b'{"device":"load-json","ts":1700000000,"Gyro":{"x":1.5}}\n' * 3)
        )
        status, text = load(path)
        assert status == 0, text
        settled(deployment, "load-json", 3, "Gyro.x")

    def test_units_devices_zone_and_what_is_left_out_are_shown(self, load: Load):
        status, text = load(FILES / "03-fahrenheit-mph-in-header.csv", "--dry-run")
        assert status == 0
        assert "195 °F → 90.555555556 degC" in text
        assert "engine_temperature from °F to degC, speed from mph to km/h" in text
        assert "2025-10-05T14:22:01.000Z to 2025-10-05T14:22:02.000Z; zone UTC" in text
        status, text = load(FILES / "31-device-names.csv", "--dry-run")
        assert "Living Room becomes Living-Room" in text
        status, text = load(FILES / "12-day-month-with-dashes.csv", "--dry-run")
        assert "08-12-2025 09:30 is read with the day first" in text
        assert "out/in: text" in text

    def test_a_folder_with_an_archive_is_loaded(
        self, load: Load, deployment: Deployment, tmp_path: Path
    ):
        folder = tmp_path / "in"
        folder.mkdir()
        shutil.copy(FILES / "36-recording.zip", folder)
        shutil.copy(FILES / "29a-car-a.csv", folder / "load-folder.csv")
        status, text = load(folder, "--device-from-filename")
        assert status == 0, text
        assert "sent 2, accepted 2" in text
        settled(deployment, "load-folder", 1)
        settled(deployment, "Accelerometer", 1, "x")
        assert "sent 0, accepted 0" in load(folder, "--device-from-filename")[1]


class TestErrors:
    def test_invalid_rows_are_listed_with_line_and_reason_and_valid_ones_sent(
        self, load: Load, deployment: Deployment, tmp_path: Path
    ):
        path = tmp_path / "bad.csv"
        good = "load-bad,1700000000,1,2\n"
        path.write_text(
            "device,time,speed,temp\n"
            f"{good}load-bad,1700000000,1,2,3\n,1700000000,1,2\nload-bad,1700000000,x,3\n{good}"
        )
        status, text = load(path)
        assert status == 1
        assert "bad.csv:3: 5 cells in a row of 4 columns" in text
        assert "bad.csv:4: device '' is not a valid name" in text
        assert "bad.csv:5: speed: 'x' is not a number; the cell is left out" in text
        assert "sent 3, accepted 3, refused 0, skipped 2" in text
        settled(deployment, "load-bad", 3, "temp")

    def test_of_many_invalid_rows_the_first_are_listed_and_the_rest_counted(
        self, load: Load, tmp_path: Path
    ):
        path = tmp_path / "bad.csv"
        path.write_text("device,time,speed\n" + "a,1700000000,1\n" * 600 + "b,,,,5\n" * 50)
        status, text = load(path, "--dry-run")
        assert status == 1
        assert text.count("5 cells in a row of 3 columns") == 20
        assert "30 more" in text

    def test_readings_that_the_server_refuses_are_listed_with_their_line(
        self, load: Load, tmp_path: Path
    ):
        path = tmp_path / "future.csv"
        path.write_text("device,time,speed\nload-f,1700000000,1\nload-f,4102444800,2\n")
        status, text = load(path)
        assert status == 1
        assert "future.csv:3: refused: recorded_at 4102444800000 is in the future" in text
        assert "sent 2, accepted 1, refused 1, skipped 0" in text

    def test_terminal_escapes_in_a_file_are_escaped(self, load: Load, tmp_path: Path):
        path = tmp_path / "evil.csv"
        path.write_text(
            "device,time,speed\x1b[31m\n" + "a,1700000000,1\n" * 3 + "a,1700000000,[bold]\x1b[0m\n"
        )
        _, text = load(path, "--dry-run")
        assert "\x1b" not in text
        assert "\\x1b[31m" in text
        assert "'[bold]\\x1b[0m'" in text

    @pytest.mark.parametrize(
        ("arguments", "remedy"),
        [
            (["nowhere.csv"], "does not exist"),
            ([DATA / "ugly.csv", "--map", "SPED=v"], "did you mean SPEED?"),
            ([DATA / "ugly.csv", "--map", "SPEED"], "is not of the form COLUMN=METRIC"),
            ([DATA / "ugly.csv", "--delimiter", "ab"], "is not a single character"),
            ([DATA / "ugly.csv", "--device", "a", "--device-column", "b"], "exclude each other"),
            ([FILES / "05-long-car-scanner.csv"], "--start"),
            ([FILES / "29a-car-a.csv", FILES / "29b-car-b.csv"], "--device-from-filename"),
        ],
    )
    def test_usage_errors_exit_2_with_a_remedy(
        self, load: Load, arguments: list[object], remedy: str
    ):
        status, text = load(*arguments)
        assert (status, remedy in text) == (2, True), text

    def test_nothing_is_sent_when_one_of_the_files_cannot_be_read(
        self, load: Load, deployment: Deployment, table: Table, tmp_path: Path
    ):
        (tmp_path / "empty.csv").write_text("")
        status, text = load(table(3, "load-none"), tmp_path / "empty.csv")
        assert (status, "the file is empty" in text) == (2, True), text
        assert deployment.get("/collect?device=load-none")[0] == 404

    def test_an_unreachable_server_is_reported(self, load: Load, table: Table):
        status, text = load(table(3), url="http://127.0.0.1:9")
        assert (status, "tributary up" in text) == (1, True), text
