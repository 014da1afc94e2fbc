"""The capacity model, without a server."""

from __future__ import annotations

import msgspec
import pytest

from tributary.cli import plan_text
from tributary.errors import Misconfigured
from tributary.operate import capacity, capacity_load
from tributary.operate.capacity import Plan, Processes
from tributary.operate.capacity_costs import COSTS, Costs
from tributary.operate.capacity_load import Load
from tributary.settings import Settings

FLEET = Load(devices=20_000, rate=1, metrics=3, partitions=16)
FREE = Costs(**dict.fromkeys(Costs.__struct_fields__, 0.0))


def planned(load: Load = FLEET, costs: Costs = COSTS, **settings: object) -> Plan:
    return capacity.plan(load, msgspec.convert(settings, Settings), costs)


def costs(**given: float) -> Costs:
    """Everything is free except what is given; no rate is limited."""
    return msgspec.structs.replace(FREE, flushes_per_s=1e12, turns_per_s=1e12, **given)


def test_parses_a_fleet_with_its_defaults():
    assert capacity_load.parse(["devices=20000", "rate=0.5"], 16) == Load(
        devices=20_000, rate=0.5, metrics=1, batch=1, partitions=16
    )
    words = ["metrics=3", "devices=5", "batch=10", "rate=1e3", "partitions=64"]
    assert capacity_load.parse(words, 16) == Load(
        devices=5, rate=1_000, metrics=3, batch=10, partitions=64
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "devices and rate missing; write, for example, devices=20000"),
        (["devices=5"], "rate missing"),
        (["devices=5", "rate=1", "metric=3"], "did you mean metrics"),
        (["devices"], "'devices' has no value; write NAME=NUMBER"),
        (["devices=5", "devices=6"], "devices is given twice"),
        (["devices="], "devices= is not an integer"),
        (
            ["devices=20,000"],
            "devices=20,000 is not an integer from 1 to 1e+09, without separators",
        ),
        (["devices=1.5"], "devices=1.5 is not an integer"),
        (["devices=0"], "from 1 to"),
        (["rate=-1"], "rate=-1 is not a number"),
        (["rate=nan"], "rate=nan is not a number"),
        (["rate=inf"], "rate=inf is not a number"),
        (["metrics=65"], "from 1 to 64"),
        (["batch=10001"], "from 1 to 10000"),
        (["partitions=4097"], "from 1 to 4096"),
        (["keep=some"], "keep=some is unknown; use latest, windows or all"),
        (["keep=all", "keep=latest"], "keep is given twice"),
    ],
)
def test_rejects_an_invalid_fleet_with_the_remedy(words: list[str], message: str):
    with pytest.raises(Misconfigured, match=message.replace("+", r"\+")):
        capacity_load.parse(words, 16)


def test_keep_saves_windows_and_history():
    loads = {
        keep: capacity_load.parse(["devices=10", "rate=1", f"keep={keep}"], 16)
        for keep in ("latest", "windows", "all")
    }
    found = {keep: planned(load) for keep, load in loads.items()}
    assert found["windows"].aggregates_bytes == found["all"].aggregates_bytes
    saved = found["all"].aggregates_bytes - found["latest"].aggregates_bytes
    assert saved == 10 * (COSTS.series_bytes - COSTS.latest_series_bytes)
    assert found["all"].history_max_bytes > 0 < found["all"].use.jobs_cores
    for keep in ("latest", "windows"):
        assert (found[keep].history_max_bytes, found[keep].use.jobs_cores) == (0, 0)
    assert any("without windows" in line for line in plan_text.lines(found["latest"]))


def test_every_reading_is_a_frame_until_flushes_are_limited():
    flows = capacity.flows(FLEET, Processes(), costs())
    assert flows.requests == flows.flushes == flows.wakes == pytest.approx(20_000)
    assert flows.frames == flows.turns == flows.commits == pytest.approx(20_000)
    assert flows.values == 60_000
    limited = msgspec.structs.replace(costs(), flushes_per_s=1_000)
    flows = capacity.flows(FLEET, Processes(), limited)
    # 20 readings per flush over 16 partitions make 16 * (1 - (15/16)**20) = 11.6 frames.
    assert flows.frames == pytest.approx(11_599.5, abs=1)
    assert capacity.flows(FLEET, Processes(ingest=3), limited).flushes == 3_000
    # A flush reaches both primaries, nearly always.
    two = capacity.flows(FLEET, Processes(primaries=2), limited)
    assert two.wakes == pytest.approx(1_999.4, abs=1)


def test_a_batch_saves_flushes_but_has_frames_for_its_partitions():
    flows = capacity.flows(msgspec.structs.replace(FLEET, batch=16), Processes(), costs())
    assert flows.requests == flows.flushes == 1_250
    assert flows.frames == pytest.approx(1_250 * 16 * (1 - (15 / 16) ** 16))


def test_a_turn_commits_each_partition_of_an_aggregator_at_most_once():
    limited = msgspec.structs.replace(costs(), turns_per_s=100)
    flows = capacity.flows(FLEET, Processes(aggregators=2), limited)
    assert flows.turns == 200
    assert flows.commits == pytest.approx(200 * 8, rel=1e-3)


@pytest.mark.parametrize(
    ("given", "cores"),
    [
        ({"ingest_request_us": 10}, (0.2, 0, 0)),
        ({"ingest_value_us": 10}, (0.6, 0, 0)),
        ({"redis_frame_us": 10}, (0, 0.2, 0)),
        ({"redis_value_us": 1, "redis_commit_us": 2, "redis_flush_us": 3}, (0, 0.16, 0)),
        ({"aggregator_turn_us": 5, "aggregator_frame_us": 5}, (0, 0, 0.2)),
        ({"aggregator_idle_us": 1_000, "redis_idle_us": 2_000}, (0, 0.002, 0.001)),
    ],
)
def test_a_use_is_the_sum_of_its_costs(given: dict[str, float], cores: tuple[float, float, float]):
    use = planned(costs=costs(**given)).use
    found = (use.ingest_cores, use.redis_cores, use.aggregator_cores)
    assert found == pytest.approx(cores)


def test_processes_are_planned_at_70_percent_of_a_core():
    found = planned(costs=costs(ingest_request_us=34, redis_frame_us=36, aggregator_value_us=60))
    assert found.processes == (1, 6, 2)


def test_primaries_have_whole_partitions():
    # 3.6 cores: with 6 primaries one would have 3 of 16 partitions, 0.675 of a core.
    found = planned(costs=costs(redis_frame_us=180))
    assert (found.processes.primaries, found.partitions_per_primary) == (6, 3)
    # 3.9 cores: 3 of 16 partitions would be 0.73 of a core, 2 are 0.49.
    found = planned(costs=costs(redis_frame_us=195))
    assert (found.processes.primaries, found.partitions_per_primary) == (8, 2)


def test_warns_if_equal_shares_of_slots_overload_a_primary():
    found = planned(costs=costs(redis_frame_us=195))
    assert (found.processes.primaries, found.partitions_by_slots) == (8, 4)
    (warning,) = capacity.warnings(found, Settings())
    assert warning == (
        "with equal shares of the slots, one primary has 4 partitions and needs 98% of a core; "
        "move slots, so that each has at most 2 partitions"
    )


@pytest.mark.parametrize(("partitions", "primaries", "most"), [(4, 1, 4), (4, 3, 2), (16, 3, 6)])
def test_partitions_on_a_cluster_with_equal_shares_of_slots(
    partitions: int, primaries: int, most: int
):
    assert capacity.busiest(partitions, primaries) == most


def test_memory_has_every_series_and_full_streams():
    sizes = costs(series_bytes=2_000, device_bytes=100, entry_bytes=70, entry_value_bytes=20)
    found = planned(costs=sizes, stream_max_entries=1_000)
    assert found.aggregates_bytes == 60_000 * 2_000 + 20_000 * 100
    assert found.stream_bytes == pytest.approx(16 * 1_000 * (70 + 2 * 20))
    kept = costs(ingest_process_bytes=100, aggregator_process_bytes=50, aggregator_series_bytes=1)
    assert planned(costs=kept).process_bytes == 100 + 50 + 60_000
    assert planned(costs=kept, series_cached_max=1_000).process_bytes == 100 + 50 + 1_000
    assert found.memory_bytes == found.aggregates_bytes + found.stream_bytes


def test_the_history_grows_until_its_slots_are_deleted():
    found = planned(
        costs=costs(history_slot_bytes=1), history_keep_minutes="2d", history_keep_hours="3d"
    )
    per_day = 60_000 * (1_440 + 24 + 1)
    assert found.history_bytes_per_day == per_day
    assert found.history_max_bytes == 60_000 * (2 * 1_440 + 3 * 24 + 365)
    off = planned(costs=costs(history_slot_bytes=1, jobs_value_us=1), history="off")
    assert off.history_max_bytes == off.use.jobs_cores == 0
    rare = planned(Load(devices=10, rate=1 / 86_400, partitions=16), costs(history_slot_bytes=1))
    assert rare.history_bytes_per_day == pytest.approx(10 * 3)


@pytest.mark.parametrize(
    ("load", "settings", "warning"),
    [
        (
            {"devices": 400_000, "partitions": 4_096},
            {"history": "off", "series_cached_max": 2_000_000},
            "1,200,000 series exceed series_max=1,000,000; raise it",
        ),
        ({}, {"series_cached_max": 1_000}, "60,000 series per aggregator exceed series_cached_max"),
        ({}, {"devices_max": 100}, "20,000 devices exceed devices_max=100; raise it"),
        ({"rate": 100}, {"history": "off"}, "16 partitions are fewer than"),
        ({"rate": 30, "partitions": 4_096}, {}, "does not keep up with the history"),
        ({}, {}, None),
    ],
)
def test_warns_of_limits_that_the_fleet_exceeds(
    load: dict[str, float], settings: dict[str, object], warning: str | None
):
    costly = costs(jobs_value_us=1, redis_frame_us=10)
    found = planned(msgspec.structs.replace(FLEET, **load), costly, **settings)
    texts = capacity.warnings(found, msgspec.convert(settings, Settings))
    assert [warning in text for text in texts] == ([True] if warning else [])


@pytest.mark.parametrize("devices", [1, 1_000, 10**9])
@pytest.mark.parametrize("rate", [1e-6, 1, 1e6])
def test_more_readings_never_need_fewer_processes(devices: int, rate: float):
    """With the constants of the release, any valid fleet has a plan."""
    less = planned(Load(devices=devices, rate=rate, partitions=16))
    more = planned(Load(devices=devices, rate=rate, partitions=16, metrics=64))
    assert all(n <= m for n, m in zip(less.processes, more.processes, strict=True))
