"""The job of an export may be killed, repeated, or find its export deleted."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import redis
from support import folding

from jobs.export import job, stream, tidy
from jobs.export.work import Progress
from tributary.errors import Refused, Unavailable
from tributary.model.clock import utc_ms
from tributary.model.export import Format, Spec
from tributary.model.frame import Block
from tributary.operate import exports, job_queue
from tributary.operate.exports import Export, State
from tributary.settings import Settings

START_MS = 1_700_000_000_000
ROWS = 20


@pytest.fixture
def site(change: Callable[..., Settings], client: redis.Redis, tmp_path: Path) -> Settings:
    """Settings of a deployment with `ROWS` readings."""
    settings = change(partitions=2, export_dir=str(tmp_path / "exports"))
    for number in range(ROWS):
        folding.append(client, settings, [Block(f"car-{number % 4}", START_MS, {"m": 1.5})])
    folding.aggregate(settings, client)
    return settings


def make(client: redis.Redis, site: Settings, format_: Format = "csv", **spec: object) -> str:
    made = exports.create(client, site, Spec(format=format_, **spec), None, utc_ms())  # type: ignore[arg-type]
    return made.record.id


def found(client: redis.Redis, id_: str) -> Export:
    export = exports.find(client, id_, utc_ms())
    assert export is not None
    return export


def files(site: Settings) -> list[str]:
    return sorted(path.name for path in exports.directory(site).glob("*"))


def test_writes_a_file_that_only_its_owner_can_read(client: redis.Redis, site: Settings):
    id_ = make(client, site)
    assert job.run(site, id_) == {"rows": ROWS}
    state = found(client, id_).state
    assert (state.state, state.rows, state.progress, state.attempts) == ("done", ROWS, 1.0, 1)
    path = exports.directory(site) / state.file
    assert path.stat().st_size == state.size_bytes
    assert len(path.read_text().splitlines()) == ROWS + 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert job.run(site, id_) == {}  # repeated
    assert files(site) == [state.file]


def test_an_attempt_after_one_that_was_killed(
    client: redis.Redis, site: Settings, monkeypatch: pytest.MonkeyPatch
):
    id_ = make(client, site)
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(os, "fsync", lambda _fd: os._exit(9))
        job.run(site, id_)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert found(client, id_).state.state == "running"
    (left,) = files(site)
    assert left.endswith(".part")
    assert job.run(site, id_) == {"rows": ROWS}
    assert found(client, id_).state.attempts == 2
    later_ms = utc_ms() + 2 * tidy.UNUSED_AFTER_MS
    assert exports.tidy(client, site, later_ms, tidy.UNUSED_AFTER_MS) == []
    assert files(site) == [found(client, id_).state.file]


def test_gives_up_after_some_attempts(client: redis.Redis, site: Settings):
    id_ = make(client, site)
    exports.update(client, id_, State("running", utc_ms(), job.ATTEMPTS_MAX))
    job.run(site, id_)
    state = found(client, id_).state
    assert (state.state, state.code) == ("failed", "abandoned")


def test_redis_may_be_unavailable(client: redis.Redis, site: Settings):
    gone = msgspec.structs.replace(site, redis_url="unix:///nowhere.sock")
    with pytest.raises(Unavailable):
        job.run(gone, make(client, site))


@pytest.mark.parametrize(
    ("limit", "setting"),
    [({"export_max_rows": ROWS - 1}, "MAX_ROWS"), ({"export_max_bytes": 500}, "MAX_BYTES")],
)
def test_an_export_beyond_a_limit_fails_and_leaves_no_file(
    client: redis.Redis, site: Settings, limit: dict[str, int], setting: str
):
    id_ = make(client, site)
    job.run(msgspec.structs.replace(site, **limit), id_)
    state = found(client, id_).state
    assert (state.state, state.code, files(site)) == ("failed", "too_large", [])
    assert f"TRIBUTARY_EXPORT_{setting}" in state.message


def test_the_bytes_of_all_exports_count(client: redis.Redis, site: Settings):
    job.run(site, make(client, site))
    size_bytes = exports.size_bytes(site)
    full = msgspec.structs.replace(site, export_max_bytes=2 * size_bytes - 1)
    id_ = make(client, site)
    job.run(full, id_)
    assert found(client, id_).state.code == "too_large"


def test_a_directory_that_cannot_be_written_is_named(
    client: redis.Redis, site: Settings, tmp_path: Path
):
    (tmp_path / "file").write_text("")
    id_ = make(client, site)
    job.run(msgspec.structs.replace(site, export_dir=str(tmp_path / "file" / "x")), id_)
    state = found(client, id_).state
    assert (state.state, state.code) == ("failed", "not_written")
    assert str(tmp_path / "file" / "x") in state.message


@pytest.mark.parametrize("when", ["before", "while it is written", "just before it is done"])
def test_a_deleted_export_comes_to_nothing(
    client: redis.Redis, site: Settings, monkeypatch: pytest.MonkeyPatch, when: str
):
    id_ = make(client, site)
    if when == "before":
        exports.delete(client, site, [id_])
    elif when == "while it is written":
        original = job._reporter(site, client, id_, State())
        monkeypatch.setattr(job, "_REPORT_S", 0.0)

        def report(progress: Progress) -> bool:
            exports.delete(client, site, [id_])
            return original(progress)

        monkeypatch.setattr(job, "_reporter", lambda *_: report)
    else:
        rename = Path.rename

        def delete_first_then_rename(path: Path, target: Path) -> Path:
            client.hdel("tributary:exports", id_)
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", delete_first_then_rename)
    assert job.run(site, id_) in ({}, {"rows": ROWS})
    assert exports.find(client, id_, utc_ms()) is None
    assert files(site) == []
    assert exports.tidy(client, site, utc_ms(), tidy.UNUSED_AFTER_MS) == []
    assert client.hlen("tributary:exports") == 0


def test_what_has_expired_is_deleted(client: redis.Redis, site: Settings):
    id_ = make(client, site)
    job.run(site, id_)
    other = exports.directory(site) / "notes.txt"
    other.write_text("not an export")
    later_ms = found(client, id_).record.expires_ms
    assert exports.find(client, id_, later_ms) is None
    exports.tidy(client, site, later_ms, tidy.UNUSED_AFTER_MS)
    assert (client.hlen("tributary:exports"), files(site)) == (0, ["notes.txt"])


def test_an_export_whose_job_is_gone_is_queued_again(client: redis.Redis, site: Settings):
    make(client, site)  # new
    exports.update(client, make(client, site), State("done"))
    gone = [make(client, site), make(client, site)]
    for id_ in gone:
        exports.update(client, id_, State("running", utc_ms() - 2 * tidy.UNUSED_AFTER_MS))
    assert tidy.run(site) == {"queued": 2}
    queued = [one.arguments for one in job_queue.read(client, 10)]
    assert sorted(queued) == sorted([id_] for id_ in gone)
    assert tidy.run(site) == {"queued": 2}
    assert len(job_queue.read(client, 10)) == 2


def test_the_file_of_a_long_export_without_rows_is_kept(
    client: redis.Redis, site: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(job, "_REPORT_S", 0.0)
    monkeypatch.setattr(stream, "_BATCH_BYTES", 1)
    id_ = make(client, site, devices=("nobody",))
    folder, times = exports.directory(site), list[float]()

    def size_bytes(_settings: Settings) -> int:
        """Called by each report: make the file look old, as if the export took minutes."""
        for part in folder.glob("*.part"):
            times.append(part.stat().st_mtime)
            os.utime(part, (1, 1))
        return 0

    monkeypatch.setattr(exports, "size_bytes", size_bytes)
    assert job.run(site, id_) == {"rows": 0}
    assert len(times) > 1
    assert min(times) > 1


def test_exports_of_forgotten_devices_are_deleted(client: redis.Redis, site: Settings):
    gone = [make(client, site), make(client, site, devices=("van-1", "car-*"))]
    kept = make(client, site, devices=("van-*",))
    job.run(site, gone[0])
    assert exports.delete_of_devices(client, site, ["car-1"]) == 2
    assert [one.record.id for one in exports.read_all(client)] == [kept]
    assert files(site) == []


def test_the_number_of_exports_is_bounded(
    client: redis.Redis, site: Settings, monkeypatch: pytest.MonkeyPatch
):
    for _ in range(exports.UNFINISHED_MAX):
        id_ = make(client, site)
    with pytest.raises(Refused) as caught:
        make(client, site)
    assert (caught.value.status, caught.value.code) == (429, "too_many_exports")
    exports.create(client, site, Spec(), "another token", utc_ms())
    exports.update(client, id_, State("done"))
    make(client, site)
    monkeypatch.setattr(exports, "EXPORTS_MAX", 5)
    with pytest.raises(Refused):
        exports.create(client, site, Spec(), "a third token", utc_ms())
