"""Frames of several partitions in one script call."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import redis
from redis.exceptions import ResponseError
from support.processes import Server

from tributary.errors import TributaryError
from tributary.settings import Settings
from tributary.store import keys, scripts, stream
from tributary.store.stream import CALL_MAX_BYTES, CALL_MAX_FRAMES, Appender, Frame


@pytest.fixture(params=["", "redis-server"], ids=["valkey", "redis"])
def client(request: pytest.FixtureRequest, own_server: Callable[..., Server]) -> redis.Redis:
    if request.param and shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return own_server(binary=request.param).client


def append(client: redis.Redis, *frames: tuple[int, int], unread_max: str = "9") -> list[Any]:
    command = scripts.append(
        [(*frame, b"f") for frame in frames], max_entries="1000", unread_max=unread_max
    )
    (reply,) = scripts.execute(client, [command])
    return list(stream.results(reply, len(frames)))


def test_numbers_the_frames_of_each_partition(client: redis.Redis):
    assert append(client, (0, 3), (1, 2), (0, 4)) == [[1, 3], [1, 2], [2, 7]]
    assert append(client, (1, 1), (0, 1)) == [[2, 3], [3, 8]]
    assert [client.xlen(keys.readings(partition)) for partition in (0, 1)] == [3, 2]
    assert client.hgetall(keys.meta(0)) == {b"entries": b"3", b"accepted": b"8"}


def test_a_full_partition_does_not_reject_the_frames_of_others(client: redis.Redis):
    client.hset(keys.meta(1), mapping={"entries": 20, "accepted": 30, "done_entries": 11})
    client.hset(keys.meta(2), mapping={"entries": 20, "accepted": 30, "done_entries": 12})
    assert append(client, (0, 1), (1, 5), (2, 1)) == [[1, 1], -1, [21, 31]]
    assert client.hget(keys.meta(1), "refused") == b"5"
    assert not client.exists(keys.readings(1))


@pytest.mark.parametrize("broken", [keys.readings(1), keys.meta(1)])
def test_an_error_of_one_frame_does_not_affect_the_others(client: redis.Redis, broken: str):
    client.set(broken, "of another type")
    first, error, last = append(client, (0, 1), (1, 1), (2, 1))
    assert (first, last) == ([1, 1], [1, 1])
    assert isinstance(error, ResponseError)
    assert "WRONGTYPE" in str(error)
    if broken != keys.meta(1):  # the numbers are as before
        assert client.hmget(keys.meta(1), "entries", "accepted") == [b"0", b"0"]
    assert [type(each) for each in append(client, (1, 1), (1, 1))] == [ResponseError] * 2


def test_flask_reports_the_frame_that_was_rejected(client: redis.Redis):
    appender = Appender(Settings(stream_max_entries=1000))
    client.hset(keys.meta(1), mapping={"entries": 1000, "accepted": 1000})
    frames = [Frame(0, 1, b"f"), Frame(1, 1, b"f"), Frame(2, 1, b"f")]
    with pytest.raises(TributaryError, match="too far behind"):
        stream.append(client, appender, frames)
    assert [numbers[0] for numbers in appender.tail.numbers[:3]] == [1, 0, 1]


@pytest.mark.parametrize(
    ("sizes", "is_cluster", "expected"),
    [
        ([1] * 16, False, [16]),
        ([1] * 16, True, [1] * 16),
        ([1] * (CALL_MAX_FRAMES + 1), False, [CALL_MAX_FRAMES, 1]),
        ([CALL_MAX_BYTES // 2] * 5, False, [2, 2, 1]),
        ([1, CALL_MAX_BYTES * 2, 1], False, [1, 1, 1]),
        ([], False, []),
    ],
)
def test_a_call_has_a_bounded_number_of_frames_and_bytes(
    sizes: list[int], *, is_cluster: bool, expected: list[int]
):
    frames = [Frame(number, 1, bytes(size)) for number, size in enumerate(sizes)]
    divided = stream.calls([(frame, "owner") for frame in frames], is_cluster=is_cluster)
    assert [len(call) for call in divided] == expected
    assert [frame for call in divided for frame, _ in call] == frames


def test_on_a_cluster_the_frames_of_a_partition_share_a_call():
    frames = [Frame(number % 2, 1, b"f") for number in range(6)]
    divided = stream.calls([(frame, None) for frame in frames], is_cluster=True)
    assert [[frame.partition for frame, _ in call] for call in divided] == [[0] * 3, [1] * 3]
