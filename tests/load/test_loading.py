"""Loading: batches, their keys, and the journal that makes a repetition safe."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from support.datasets import CATALOGUE, NOW_MS
from support.processes import Deployment, Process
from support.scripted import Response, accepted, scripted
from support.waiting import wait_until

from tributary.client import Tributary
from tributary.errors import Misconfigured
from tributary.load import Journal, Loader, Options, Source, Start, Tally, survey_all


def table(path: Path, rows: int) -> Path:
    """A CSV with `rows` readings of a device named like the file."""
    lines = [f"{path.stem},{1_700_000_000 + number},{number}\n" for number in range(rows)]
    path.write_text("".join(["device,time,speed\n", *lines]))
    return path


def begun(loader: Loader, path: Path) -> tuple[Source, Start]:
    (source,), _ = survey_all([path], Options(now_ms=NOW_MS), CATALOGUE)
    return source, loader.start(source)


def interrupted_at(batch: int) -> Callable[[int], None]:
    """A callback that stops the load after `batch` batches."""
    batches = itertools.count(1)

    def on_progress(_: int) -> None:
        if next(batches) == batch:
            raise KeyboardInterrupt

    return on_progress


def test_an_interrupted_load_is_resumed(deployment: Deployment, tmp_path: Path):
    path = table(tmp_path / "loading-stop.csv", 3500)
    with Tributary(deployment.url) as client:
        loader = Loader(client, Journal(tmp_path / "state", client.url))
        with pytest.raises(KeyboardInterrupt):
            loader.load(*begun(loader, path), Tally(), interrupted_at(2))
        wait_until(lambda: deployment.get("/collect?device=loading-stop")[0] == 200, "a reading")
        source, start = begun(loader, path)
        assert (start.entry.rows, start.entry.done_lines, start.is_done) == (2000, 2001, False)
        tally = Tally()
        loader.load(source, start, tally, lambda _: None)
        assert (tally.before, tally.accepted, tally.sent) == (2000, 1500, 1500)
        assert begun(loader, path)[1].is_done

    def count() -> int:
        return deployment.get("/api/v1/devices/loading-stop")[1]["metrics"]["speed"]["total"][
            "count"
        ]

    wait_until(lambda: count() == 3500, "every reading, once")


def test_a_batch_has_the_same_key_whenever_it_is_sent(tmp_path: Path):
    """So that one which was sent but not remembered is recognised by the server."""
    path = table(tmp_path / "keys.csv", 2500)
    runs = []
    for number in range(2):
        with scripted(accepted(1000)) as server, Tributary(server.url) as client:
            loader = Loader(client, Journal(tmp_path / f"state-{number}", client.url))
            loader.load(*begun(loader, path), Tally(), lambda _: None)
            runs.append([received.headers["Idempotency-Key"] for received in server.requests])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 3


def test_batches_have_the_same_keys_after_an_interruption(tmp_path: Path):
    path = table(tmp_path / "keys.csv", 2500)
    with scripted(accepted(1000)) as server, Tributary(server.url) as client:
        whole = Loader(client, Journal(tmp_path / "whole", client.url))
        whole.load(*begun(whole, path), Tally(), lambda _: None)
        parts = Loader(client, Journal(tmp_path / "parts", client.url))
        with pytest.raises(KeyboardInterrupt):
            parts.load(*begun(parts, path), Tally(), interrupted_at(1))
        parts.load(*begun(parts, path), Tally(), lambda _: None)
        keys = [a.headers["Idempotency-Key"] for a in server.requests if a.method == "POST"]
    assert keys[:3] == keys[3:]


def test_an_intended_repetition_has_other_keys(tmp_path: Path):
    path = table(tmp_path / "again.csv", 10)
    with scripted(accepted(10)) as server, Tributary(server.url) as client:
        journal = Journal(tmp_path / "state", client.url)
        for again in (False, True, True):
            loader = Loader(client, journal, again=again)
            loader.load(*begun(loader, path), Tally(), lambda _: None)
        assert len({received.headers["Idempotency-Key"] for received in server.requests}) == 3


def test_a_beginning_that_was_loaded_as_its_own_file_is_recognised(tmp_path: Path):
    part = table(tmp_path / "growing.csv", 10)
    beginning = part.read_bytes()
    with scripted(accepted(10)) as server, Tributary(server.url) as client:
        loader = Loader(client, Journal(tmp_path / "state", client.url))
        loader.load(*begun(loader, part), Tally(), lambda _: None)
        whole = table(tmp_path / "growing.csv", 20)
        loader.load(*begun(loader, whole), Tally(), lambda _: None)
        part.write_bytes(beginning)
        assert begun(loader, part)[1].is_done


def test_without_a_read_api_the_journal_is_trusted(tmp_path: Path):
    path = table(tmp_path / "ingest-only.csv", 10)
    nothing_there = Response(404, {"success": False, "error": {"code": "not_found", "message": ""}})
    with scripted(accepted(10), nothing_there) as server, Tributary(server.url) as client:
        loader = Loader(client, Journal(tmp_path / "state", client.url))
        loader.load(*begun(loader, path), Tally(), lambda _: None)
        assert begun(loader, path)[1].is_done


def test_two_servers_have_journals_of_their_own(tmp_path: Path):
    path = table(tmp_path / "both.csv", 10)
    for _ in range(2):
        with scripted(accepted(10)) as server, Tributary(server.url) as client:
            loader = Loader(client, Journal(tmp_path / "state", client.url))
            assert not begun(loader, path)[1].is_done
            loader.load(*begun(loader, path), Tally(), lambda _: None)


def test_a_file_that_another_load_has_sent_is_not_loaded_again(tmp_path: Path):
    path = table(tmp_path / "meanwhile.csv", 10)
    with scripted(accepted(10)) as server, Tributary(server.url) as client:
        loader = Loader(client, Journal(tmp_path / "state", client.url))
        first, second = begun(loader, path), begun(loader, path)
        loader.load(*first, Tally(), lambda _: None)
        with pytest.raises(Misconfigured, match="another load has sent part of this file"):
            loader.load(*second, Tally(), lambda _: None)
        assert len(server.requests) == 1


def test_a_file_is_not_loaded_by_two_processes_at_once(run: Callable[..., Process], tmp_path: Path):
    path, state = table(tmp_path / "busy.csv", 10), tmp_path / "state"
    with scripted(accepted(10)) as server, Tributary(server.url) as client:
        journal = Journal(state, client.url)
        with journal.locked(begun(Loader(client, journal), path)[1].name):
            other = run("load", str(path), "--url", server.url, "--state-dir", str(state))
            assert other.end() == 2
    assert "another load of the same file is running; wait for it" in other.text


def test_an_invalid_journal_entry_is_reported(tmp_path: Path):
    journal = Journal(tmp_path, "http://there:8000")
    (tmp_path / "there_8000" / "0.json").write_text("{")
    with pytest.raises(Misconfigured, match=r"0\.json is not a valid journal entry"):
        journal.entries()


def test_an_unwritable_journal_is_reported_with_a_remedy(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="choose another with --state-dir"):
        Journal(tmp_path / "file", "http://there")
