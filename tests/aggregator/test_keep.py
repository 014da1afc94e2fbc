"""What `keep` in the catalogue of metrics stores, what a change of it does, and freed rings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import redis
from support import folding, forgetting
from support.account import assert_adds_up

from aggregator import sweep
from aggregator.sweep import silent_since_ms
from tributary.model.address import SHORT, Address
from tributary.model.clock import utc_ms
from tributary.model.frame import Block
from tributary.model.window import parse_windows
from tributary.operate import status
from tributary.operate.audit import Auditor
from tributary.settings import Settings
from tributary.store import keys

HOUR_MS = 3_600_000
LATEST = '[m]\nkeep = "latest"\n'


def block(device: str, age_ms: int, value: float) -> Block:
    return Block(device, utc_ms() - age_ms, {"m": value})


def addresses(client: redis.Redis) -> dict[str, Address]:
    return {k.decode(): Address.parse(v) for k, v in client.hgetall(keys.rows(0)).items()}


def windows(client: redis.Redis, settings: Settings, device: str) -> int:
    """How many readings are in the closed slots of the shortest window."""
    (found,) = folding.packed(client, settings, 0, [(device, "m")])
    layout = folding.shape_of(settings).layout
    if found.windows is None:
        return 0
    return int(
        np.frombuffer(found.windows, layout.rings, 1)[0][layout.windows[0].name]["count"].sum()
    )


@pytest.fixture
def kept(change: Callable[..., Settings], tmp_path: Path) -> Callable[[str], Settings]:
    """Settings with a catalogue of this text."""

    def settings(text: str) -> Settings:
        (tmp_path / "metrics.toml").write_text(text)
        return change(partitions=1, metrics_file=str(tmp_path / "metrics.toml"))

    return settings


def assert_no_differences(client: redis.Redis, settings: Settings) -> None:
    found = Auditor(client, settings).audit(0)
    assert found.differences == []
    assert found.slots > 0
    assert_adds_up(status.read(client, settings))


def test_a_change_of_keep_frees_rings_and_begins_with_empty_windows(
    kept: Callable[[str], Settings], client: redis.Redis
):
    """The totals and the average go on; what is free is used again."""
    for text, short, recent in (("", False, 2), (LATEST, True, 0), ("", False, 1)):
        settings = kept(text)
        for n, age_ms in enumerate((50_000, 40_000, 30_000)):
            folding.append(client, settings, [block("a", age_ms - 100 * n, 1.0 + n)])
        folding.append(client, settings, [block("b", 40_000, 5.0)])
        folding.aggregate(settings, client)
        found = addresses(client)
        assert {name: address.ring == SHORT for name, address in found.items()} == dict.fromkeys(
            ("a|m", "b|m"), short
        )
        assert (windows(client, settings, "a") > 0) is (recent > 0)
        assert_no_differences(client, settings)
    assert int(folding.state(client, settings, "a", "m")["count"]) == 9
    assert folding.latest(client, settings, "a")["average_m"] == 2.0
    assert client.lrange(keys.free(0), 0, -1) == []
    assert sorted(client.lrange(keys.free_short(0), 0, -1)) == [b"0", b"1"]
    chunk = client.get(f"{keys.short_chunks(0)}0")
    assert chunk is not None
    assert not chunk.strip(b"\0"), "nothing is left in free rows"


def test_a_sweep_rewrites_series_that_do_not_record(
    kept: Callable[[str], Settings], client: redis.Redis, monkeypatch: pytest.MonkeyPatch
):
    settings = kept("")
    for age_ms in (90_000, 100):
        at_ms = utc_ms() - age_ms
        blocks = [Block(f"d-{n}", at_ms, {"m": 1.0, "k": 2.0}) for n in range(150)]
        folding.append(client, settings, blocks)
    folding.aggregate(settings, client)
    assert all(address.ring >= 0 for address in addresses(client).values())
    monkeypatch.setattr(sweep, "FIRST_LATEST_S", 0.0)
    monkeypatch.setattr(sweep, "PAGE_INTERVAL_S", 0.01)

    def are_short(metric: str) -> bool:
        short = {name for name, a in addresses(client).items() if a.ring == SHORT}
        return short == {f"d-{n}|{metric}" for n in range(150)}

    settings = kept(LATEST)
    folding.aggregate(settings, client, until=lambda: are_short("m"))
    assert client.llen(keys.free(0)) == 150
    assert_no_differences(client, settings)
    settings = kept('[k]\nkeep = "latest"\n')
    folding.aggregate(settings, client, until=lambda: are_short("k"))
    numbered = client.hmget(keys.meta(0), "state_rows", "ring_rows", "short_rows")
    assert int(numbered[0]) <= 350, "free rows are used again"
    assert_no_differences(client, settings)


def test_forgetting_clears_short_rows(kept: Callable[[str], Settings], client: redis.Redis):
    settings = kept(LATEST)
    for n in range(60):
        folding.append(client, settings, [block(f"d-{n}", 1_000, 7.0)])
    forgetting.append(client, 0, [f"d-{n}" for n in range(0, 60, 2)])
    folding.append(client, settings, [block("new", 1_000, 7.0)])
    folding.aggregate(settings, client)
    found = addresses(client)
    assert set(found) == {*(f"d-{n}|m" for n in range(1, 60, 2)), "new|m"}
    assert found["new|m"] == (0, SHORT)
    assert client.llen(keys.free_short(0)) == 29
    shape, in_use = folding.shape_of(settings).short, {a.state for a in found.values()}
    chunks = {n: client.get(f"{keys.short_chunks(0)}{n}") or b"" for n in range(2)}
    state, _ = shape.states(np.arange(60), chunks)
    assert {row for row in range(60) if state["count"][row]} == in_use
    assert_no_differences(client, settings)


def test_rings_of_silent_series_are_given_to_others(
    kept: Callable[[str], Settings], client: redis.Redis, monkeypatch: pytest.MonkeyPatch
):
    settings = kept("")
    for age_ms in (40 * HOUR_MS, 30 * HOUR_MS):
        folding.append(client, settings, [block("silent", age_ms, 1.0)])
    folding.append(client, settings, [block("silent", 30 * HOUR_MS - 100_000, 3.0)])
    for age_ms in (30 * HOUR_MS, 20 * HOUR_MS):
        folding.append(client, settings, [block("heard", age_ms, 2.0)])
    folding.aggregate(settings, client)
    before = addresses(client)
    monkeypatch.setattr(sweep, "FIRST_S", 0.0)
    folding.aggregate(settings, client, until=lambda: client.exists(keys.free_rings(0)) == 1)
    ring = b"%d" % before["silent|m"].ring
    assert client.lrange(keys.free_rings(0), 0, -1) == [ring]
    assert addresses(client) == {**before, "silent|m": before["silent|m"]._replace(ring=-1)}
    assert_no_differences(client, settings)
    for age_ms in (2 * HOUR_MS, 1_000):
        folding.append(client, settings, [block("new", age_ms, 2.0)])
    folding.aggregate(settings, client)
    assert addresses(client)["new|m"].ring == before["silent|m"].ring
    assert not client.exists(keys.free_rings(0))
    for age_ms in (10 * HOUR_MS, 9 * HOUR_MS, 500):
        folding.append(client, settings, [block("silent", age_ms, 4.0)])
    folding.aggregate(settings, client)
    assert addresses(client)["silent|m"].ring not in (-1, before["silent|m"].ring)
    assert int(folding.state(client, settings, "silent", "m")["count"]) == 6
    assert_no_differences(client, settings)


def test_a_series_is_silent_once_no_window_includes_its_newest_slot():
    now_ms = 1_795_000_123_456
    windows = parse_windows("1m/5s,24h/1h")
    since_ms = silent_since_ms(windows, now_ms)
    assert since_ms == now_ms // HOUR_MS * HOUR_MS - 24 * HOUR_MS - 60_000
    assert silent_since_ms((), now_ms) == 0
