"""The buffer of the client: when it sends, when it makes wait, and what it hands back."""

from __future__ import annotations

import threading

import pytest
from support.scripted import OK, accepted, later, scripted
from support.waiting import wait_until

from tributary.client import Tributary, Undelivered
from tributary.errors import Unavailable


def test_an_array_is_sent_when_it_is_full():
    with (
        scripted(accepted(3)) as server,
        Tributary(server.url) as tributary,
        tributary.batch(max_readings=3, max_age_s=60) as batch,
    ):
        for number in range(3):
            batch.record(a=number)
        wait_until(lambda: batch.receipt.accepted == 3, "the full array to be sent")


def test_an_array_is_sent_when_its_first_reading_is_old():
    with (
        scripted(accepted(1)) as server,
        Tributary(server.url) as tributary,
        tributary.batch(max_readings=1000, max_age_s=0.01) as batch,
    ):
        batch.record(a=1)
        wait_until(lambda: batch.receipt.accepted == 1, "the array to be sent")


def test_large_readings_make_arrays_of_few():
    with scripted(OK) as server, Tributary(server.url) as tributary:
        with tributary.batch(max_age_s=60) as batch:
            for _ in range(4):
                batch.record(note="x" * 200_000)
        assert [len(received.body) for received in server.requests] == [2, 2]


def test_receipts_of_arrays_arrive_in_order():
    received = []
    with (
        scripted(accepted(2)) as server,
        Tributary(server.url) as tributary,
        tributary.batch(
            max_readings=2, on_receipt=lambda readings, _: received.extend(readings)
        ) as batch,
    ):
        for number in range(6):
            batch.record(a=number)
    assert [reading["a"] for reading in received] == list(range(6))


def test_record_blocks_while_the_buffer_is_full():
    with scripted(later(retry_after="1"), accepted(1)) as server:
        with (
            Tributary(server.url) as tributary,
            tributary.batch(max_readings=1, buffer_max=2) as batch,
        ):
            for number in range(3):  # one under way, two that wait
                batch.record(a=number)
            fourth = threading.Thread(target=batch.record, kwargs={"a": 3})
            fourth.start()
            fourth.join(0.2)
            assert fourth.is_alive()
            fourth.join(10)
            assert not fourth.is_alive()
        assert [received.body[0]["a"] for received in server.requests] == [0, 0, 1, 2, 3]


def test_undelivered_readings_are_returned():
    tributary = Tributary("http://127.0.0.1:9", retry_for_s=0.1)
    batch = tributary.batch(max_readings=2, max_age_s=60)
    batch.record(a=0)
    batch.record(a=1)
    batch.record(a=2)
    with pytest.raises(Undelivered, match="3 readings were not delivered") as lost:
        batch.close()
    assert [reading["a"] for reading in lost.value.readings] == [0, 1, 2]
    assert isinstance(lost.value.__cause__, Unavailable)


def test_record_after_close_returns_its_reading():
    with scripted(accepted(1)) as server, Tributary(server.url) as tributary:
        batch = tributary.batch()
        batch.close()
        with pytest.raises(Undelivered, match="closed") as lost:
            batch.record(a=1)
    assert lost.value.readings == [{"a": 1}]
