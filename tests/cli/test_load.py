"""`tributary load`: loads real files into a real server; repeated loads count once."""

from __future__ import annotations

import gzip
import itertools
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.processes import Deployment, Process, sigint_ignored
from support.scripted import accepted, later, scripted
from support.waiting import wait_until

DATA = Path(__file__).parents[1] / "data"
REAL = Path(__file__).parents[2].parent / "shared" / "data" / "obd_4drivers.csv"
_numbers = itertools.count()

Load = Callable[..., tuple[int, str]]
Table = Callable[..., Path]


@pytest.fixture
def load(run: Callable[..., Process], deployment: Deployment, tmp_path: Path) -> Load:
    """Run `tributary load` to its end: its exit status and what it printed."""

    def finish(*arguments: object, url: str = deployment.url) -> tuple[int, str]:
        words = [str(argument) for argument in arguments]
        process = run("load", *words, "--url", url, "--state-dir", str(tmp_path / "state"))
        status = process.end()
        assert "Traceback" not in process.text
        return status, process.text

    return finish


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Write a CSV with `rows` readings of a new device."""

    def write(rows: int, device: str | None = None, suffix: str = "") -> Path:
        name = device or f"load-{next(_numbers)}"
        path = tmp_path / f"{name}{suffix}.csv"
        lines = [f"{name},{1_700_000_000 + number},{number}\n" for number in range(rows)]
        path.write_text("".join(["device,time,speed\n", *lines]))
        return path

    return write


def total(deployment: Deployment, device: str, metric: str = "speed") -> int:
    """The number of readings of a metric that the server has counted."""
    status, response = deployment.get(f"/api/v1/devices/{device}")
    return response["metrics"][metric]["total"]["count"] if status == 200 else 0


def settled(deployment: Deployment, device: str, count: int, metric: str = "speed") -> None:
    """Wait until `count` readings are counted, and none is pending."""
    wait_until(
        lambda: total(deployment, device, metric) == count,
        f"{count} readings of {device}, not {total(deployment, device, metric)}",
    )


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
        assert "2017-08-16T16:55:04.267Z" in text
        assert "1502902504267 is parsed as a number since 1970" in text

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
        path.write_bytes(gzip.compress(b'{"device":"load-json","Gyro":{"x":1.5}}\n' * 3))
        status, text = load(path)
        assert status == 0, text
        settled(deployment, "load-json", 3, "Gyro.x")


class TestErrors:
    def test_invalid_rows_are_listed_with_line_and_reason_and_valid_ones_sent(
        self, load: Load, deployment: Deployment, tmp_path: Path
    ):
        path = tmp_path / "bad.csv"
        path.write_text("device,speed,temp\nload-bad,1,2\nload-bad,1\nload bad,1,2\nload-bad,x,3\n")
        status, text = load(path)
        assert status == 1
        assert "bad.csv:3: 2 cells in a row of 3 columns" in text
        assert "bad.csv:4: device 'load bad' is not a valid name" in text
        assert "bad.csv:5: speed: 'x' is not a number; the cell is left out" in text
        assert "sent 2, accepted 2, refused 0, skipped 2" in text
        settled(deployment, "load-bad", 2, "temp")

    def test_of_many_invalid_rows_the_first_are_listed_and_the_rest_counted(
        self, load: Load, tmp_path: Path
    ):
        path = tmp_path / "bad.csv"
        path.write_text("device,speed\na,1\n" + "b\n" * 50)
        status, text = load(path, "--dry-run")
        assert status == 1
        assert text.count("1 cells in a row of 2 columns") == 20
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
        path.write_text("device,speed\x1b[31m\na,1\n\x1b]0,2\n[bold]b,3\n")
        _, text = load(path, "--dry-run")
        assert "\x1b" not in text
        assert "\\x1b[31m" in text
        assert "'[bold]b'" in text

    @pytest.mark.parametrize(
        ("arguments", "remedy"),
        [
            (["nowhere.csv"], "does not exist"),
            ([DATA / "ugly.csv", "--map", "SPED=v"], "did you mean SPEED?"),
            ([DATA / "ugly.csv", "--map", "SPEED"], "is not of the form COLUMN=METRIC"),
            ([DATA / "ugly.csv", "--delimiter", "ab"], "is not a single character"),
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


class TestRepetition:
    def test_a_second_run_sends_nothing(self, load: Load, deployment: Deployment, table: Table):
        path = table(2500)
        assert load(path)[0] == 0
        settled(deployment, path.stem, 2500)
        status, text = load(path)
        assert status == 0
        assert "already loaded" in text
        assert "sent 0, accepted 0, refused 0, skipped 0, loaded before 2500" in text
        settled(deployment, path.stem, 2500)

    def test_a_copy_that_was_renamed_and_compressed_is_recognised(
        self, load: Load, deployment: Deployment, table: Table, tmp_path: Path
    ):
        path = table(10)
        load(path)
        settled(deployment, path.stem, 10)
        (tmp_path / "copy.gz").write_bytes(gzip.compress(path.read_bytes()))
        assert "already loaded" in load(tmp_path / "copy.gz")[1]

    def test_the_same_file_twice_in_one_command_is_loaded_once(
        self, load: Load, deployment: Deployment, table: Table
    ):
        path = table(10)
        status, text = load(path, path)
        assert (status, "accepted 10" in text, "already loaded" in text) == (0, True, True), text
        settled(deployment, path.stem, 10)

    def test_a_file_that_has_grown_is_resumed(
        self, load: Load, deployment: Deployment, table: Table
    ):
        path = table(10)
        load(path)
        settled(deployment, path.stem, 10)
        with path.open("a") as file:
            file.write(f"{path.stem},1750000000,77\n")
        status, text = load(path)
        assert (status, "resuming at line 12" in text) == (0, True), text
        assert "sent 1, accepted 1" in text
        settled(deployment, path.stem, 11)

    def test_a_file_with_another_beginning_is_another_file(
        self, load: Load, deployment: Deployment, table: Table
    ):
        path = table(10)
        load(path)
        path.write_text(path.read_text().replace("1700000000", "1600000000"))
        assert "sent 10, accepted 10" in load(path)[1]
        settled(deployment, path.stem, 20)

    def test_again_loads_the_file_exactly_once_more(
        self, load: Load, deployment: Deployment, table: Table
    ):
        path = table(10)
        load(path)
        status, text = load(path, "--again")
        assert (status, "sent 10, accepted 10" in text) == (0, True), text
        assert "already loaded" in load(path)[1]
        settled(deployment, path.stem, 20)

    def test_a_server_that_was_emptied_gets_everything(
        self, load: Load, deployment: Deployment, table: Table, tmp_path: Path
    ):
        path = table(10)
        load(path)
        fresh = Deployment(tmp_path / "fresh")
        state = next((tmp_path / "state").iterdir())
        name = fresh.url.partition("://")[2].replace(":", "_")
        shutil.copytree(state, tmp_path / "state" / name)
        status, text = load(path, url=fresh.url)
        assert (status, "has none of its devices" in text) == (0, True), text
        settled(fresh, path.stem, 10)
        assert fresh.stop() == 0

    def test_an_unavailable_server_ends_the_load_with_a_remedy(
        self, run: Callable[..., Process], table: Table, tmp_path: Path
    ):
        path = table(3000)
        responses = (accepted(0), accepted(1000), later(retry_after="3600"))
        with scripted(*responses) as server:
            process = run("load", str(path), "--url", server.url, "--state-dir", str(tmp_path))
            assert process.end() == 1
        assert "run the same command again" in process.text
        assert "accepted 1000" in process.text

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_an_interrupted_load_prints_how_to_resume(
        self,
        run: Callable[..., Process],
        table: Table,
        tmp_path: Path,
        number: signal.Signals,
    ):
        with scripted(accepted(0), later(retry_after="30")) as server, sigint_ignored():
            process = run("load", str(table(10)), "--url", server.url, "--state-dir", str(tmp_path))
            wait_until(lambda: len(server.requests) == 2, "the first batch to be sent")
            process.signal(number)
            assert process.end() == 1
        assert "interrupted; run the same command again" in process.text
