"""An entry that cannot be applied is buried, and delays nothing else."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
import redis
from support import folding

from aggregator import pace, together
from aggregator.changes import Changes
from aggregator.decode import Entry
from aggregator.fold import Folded, fold
from aggregator.overflow import Horizon
from aggregator.parts import ATTEMPTS, FAILURES, Parts
from aggregator.tenure import Tenure
from tributary.model.aggregate import Layout, Records
from tributary.model.frame import Block, pack, unpack
from tributary.model.groups import Readings
from tributary.operate import status
from tributary.settings import Settings
from tributary.store import keys

POISON = 666.0


class Allergic:
    """The fold, with a bug that one value triggers after half of the work is done."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(
        self,
        layout: Layout,
        state: Records,
        rings: Records,
        readings: Readings,
        horizon: Horizon | None = None,
    ) -> Folded:
        self.calls += 1
        folded = fold(layout, state, rings, readings, horizon)
        if POISON in readings.values:
            raise FloatingPointError("cannot stand this")
        return folded


@pytest.fixture
def dying_aggregator(monkeypatch: pytest.MonkeyPatch) -> Allergic:
    faulty = Allergic()
    monkeypatch.setattr(together, "fold", faulty)
    return faulty


def dead(client: redis.Redis, settings: Settings) -> list[dict[bytes, bytes]]:
    found = [client.xrange(keys.dead(partition)) for partition in range(settings.partitions)]
    return [fields for entries in found for _, fields in entries]


def tried(entries: int, bad: int) -> int:
    """How many parts are tried until all entries are applied or buried."""
    parts = Parts([(b"%d" % number, []) for number in range(entries)])
    count, done = 0, []
    while parts:
        count += 1
        part: list[Entry] = parts.next
        if (b"%d" % bad, []) not in part or parts.failed():
            done += part
            parts.done()
    assert done == [(b"%d" % number, []) for number in range(entries)]
    return count


@pytest.mark.parametrize("entries", [1, 2, 7, 1000])
def test_finds_one_bad_entry_by_halving(entries: int):
    for bad in {0, entries // 2, entries - 1}:
        assert tried(entries, bad) <= ATTEMPTS + 2 * (entries - 1).bit_length()


def test_an_entry_that_fails_in_the_fold_is_buried_after_five_attempts(
    change: Callable[..., Settings], client: redis.Redis, dying_aggregator: Allergic
):
    settings = change(partitions=2)
    bad = b""
    for number in range(40):
        value = POISON if number == 17 else float(number)
        id_ = folding.append(
            client, settings, [Block(f"d{number % 8}", 1000 + number, {"m": value})]
        )
        bad = id_ if value == POISON else bad
    folding.aggregate(settings, client)
    (buried,) = dead(client, settings)
    assert buried[b"id"] == bad
    assert buried[b"reason"] == b"failed 5 times: FloatingPointError: cannot stand this"
    assert buried[b"readings"] == b"1"
    assert msgspec.msgpack.decode(buried[b"fields"])[5] == pack([Block("d1", 1017, {"m": POISON})])
    found = status.read(client, settings)
    assert (found.accepted, found.applied, found.dead) == (40, 39, 1)
    assert found.lost == found.pending == 0
    counts = [int(folding.state(client, settings, f"d{n}", "m")["count"]) for n in range(8)]
    assert counts == [5, 4, 5, 5, 5, 5, 5, 5]
    assert dying_aggregator.calls < 40


def test_buries_only_the_rest_of_an_entry_that_fails_after_some_slices(
    change: Callable[..., Settings],
    client: redis.Redis,
    dying_aggregator: Allergic,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(pace, "VALUES_MAX", 512)
    settings = change(partitions=1)
    folding.append(
        client, settings,
        [Block("d", n, {"m": POISON if n == 400 else 1.0}) for n in range(500)],
    )  # fmt: skip
    folding.aggregate(settings, client)
    (buried,) = dead(client, settings)
    rest = unpack(msgspec.msgpack.decode(buried[b"fields"])[5])
    assert 400 in [time_ms for _, time_ms, _ in rest]
    assert int(buried[b"readings"]) == len(rest) < 500
    found = status.read(client, settings)
    assert (found.applied, found.dead) == (500 - len(rest), len(rest))
    assert found.lost == found.pending == 0
    assert int(folding.state(client, settings, "d", "m")["count"]) == 500 - len(rest)


def test_bad_entries_do_not_delay_other_partitions(
    change: Callable[..., Settings], client: redis.Redis, dying_aggregator: Allergic
):
    settings = change(partitions=2)
    sick, well = keys.partition_of("d0", 2), keys.partition_of("d4", 2)
    assert sick != well
    for number in range(200):
        folding.append(client, settings, [Block("d0", number, {"m": POISON})])
        folding.append(client, settings, [Block("d4", number, {"m": 1.0})])
    order: list[tuple[int, int]] = []  # partition, entries of each commit
    send = Tenure.commit_part

    def watched(self: Tenure, changes: Changes) -> None:
        order.append((self.partition, len(changes.ids)))
        send(self, changes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tenure, "commit_part", watched)
        folding.aggregate(settings, client)
    assert [ids for partition, ids in order if partition == sick] == [1] * 200
    last_of_well = max(at for at, (partition, _) in enumerate(order) if partition == well)
    assert last_of_well < 20, "the good readings waited for the bad ones"
    found = status.read(client, settings)
    assert (found.applied, found.dead, found.pending) == (200, 200, 0)


def test_a_frame_that_does_not_decode_is_buried_at_once(
    settings: Settings, client: redis.Redis, dying_aggregator: Allergic
):
    partition = keys.partition_of("d", settings.partitions)
    folding.append(client, settings, [Block("d", 1, {"m": 1.0})])
    folding.append_packed(client, partition, b"\xc1garbage", 3)
    folding.append_packed(client, partition, pack([Block("d", 1 << 50, {"m": 1.0})]), 1)
    client.xadd(keys.readings(partition), {"somebody": "else's"})
    folding.append(client, settings, [Block("d", 2, {"m": 2.0})])
    folding.aggregate(settings, client)
    reasons = [fields[b"reason"].decode() for fields in dead(client, settings)]
    assert [reason.split(":")[0] for reason in reasons] == [
        "not a frame",
        "a time is out of range",
        "not written by append",
    ]
    assert folding.latest(client, settings, "d")["average_m"] == 1.5
    found = status.read(client, settings)
    assert (found.accepted, found.applied, found.dead) == (7, 2, 5)
    assert dying_aggregator.calls <= 3


def test_corrupt_state_fails_only_the_entries_that_need_it(settings: Settings, client: redis.Redis):
    for device in ("broken", "sound"):
        partition = keys.partition_of(device, settings.partitions)
        if device == "broken":
            client.hset(keys.state(partition), keys.series(device, "m"), b"too short")
        folding.append(client, settings, [Block(device, 1, {"m": 1.0})])
    folding.aggregate(settings, client)
    (buried,) = dead(client, settings)
    assert b"failed 5 times: ValueError" in buried[b"reason"]
    assert folding.latest(client, settings, "sound")["current_m"] == 1.0


def test_running_out_of_memory_buries_nothing():
    assert not issubclass(MemoryError, FAILURES)
