"""Asking for devices to be forgotten."""

from __future__ import annotations

import msgspec
import pytest
from support import folding
from support.account import post
from support.forgetting import block, bury, column
from support.processes import Server

from tributary.errors import Unavailable
from tributary.operate import dead_letters
from tributary.operate.forgetting import records, requests
from tributary.settings import Settings
from tributary.store import keys


def test_a_dead_entry_of_a_device_that_is_being_forgotten_is_not_replayed(
    site: tuple[Server, Settings],
):
    server, settings = site
    client, partition = server.client, keys.partition_of("gone", 2)
    bury(client, partition, [block("gone", 0)])
    requests.ask(client, settings, ["gone"])
    replayed, refused = dead_letters.replay(
        client, settings, list(dead_letters.read(client, partition))
    )
    assert replayed == 0
    assert "forgotten" in "".join(refused.values())


def test_more_tombstones_than_may_be_unfinished_are_refused(
    site: tuple[Server, Settings], monkeypatch: pytest.MonkeyPatch
):
    server, settings = site
    monkeypatch.setattr(requests, "RECORDS_MAX", 2)
    for _ in range(2):
        requests.ask(server.client, settings, ["gone"])
    with pytest.raises(Unavailable, match="2 unfinished tombstones"):
        requests.ask(server.client, settings, ["gone"])
    full = msgspec.structs.replace(settings, stream_max_entries=100)
    post(server.client, keys.partition_of("new", 2), *[1] * 90)
    with pytest.raises(Unavailable, match="too far behind"):
        requests.ask(server.client, full, ["new"])


def test_many_devices_are_split_into_tombstones(site: tuple[Server, Settings]):
    server, settings = site
    devices = [f"d-{n}" for n in range(1500)]
    request = requests.ask(server.client, settings, devices)
    held = records.read(server.client, range(2))
    assert sorted(d for r in held for d in r.tombstone.devices) == sorted(devices)
    assert {r.tombstone.request for r in held} == {request}
    assert len(held) == 4


def test_a_pattern_finds_devices_wherever_they_are(site: tuple[Server, Settings]):
    server, settings = site
    client = server.client
    folding.append(client, settings, [block("x/applied", 0), block("other", 0)])
    folding.aggregate(settings, client)
    folding.append(client, settings, [block("x/pending", 0)])
    bury(client, 0, [column(["x/dead", "y"])])
    assert requests.resolve(client, settings, "x/*") == ["x/applied", "x/dead", "x/pending"]
    assert requests.resolve(client, settings, "*/p*g") == ["x/pending"]
    assert requests.resolve(client, settings, "unknown") == ["unknown"]
    assert requests.resolve(client, settings, "unknown*") == []
