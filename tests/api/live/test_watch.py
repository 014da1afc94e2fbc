"""The Python client receives live updates, and reconnects by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from support.site import Site
from support.waiting import wait_until

from tributary.client import Tributary
from tributary.client.watching import Event, events
from tributary.errors import Refused, Unavailable


def test_parses_events_from_lines():
    lines = ["retry: 1", ": a comment", "", "id: 1", "event: reading", "data: {", "data:}", ""]
    lines += ["data: x", "", "id: 3", "data: cut off"]
    assert list(events(lines)) == [Event("reading", "1", "{\n}"), Event("message", "1", "x")]


def test_watch_yields_the_data_of_collect_on_each_change(site: Site):
    with Tributary(site.url) as tributary:
        watching = tributary.watch("watched")
        tributary.record(device="watched", speed=1.5)
        assert next(watching)["current_speed"] == 1.5
        tributary.record(device="watched", speed=2.5)
        second = next(watching)
        assert second["current_speed"] == 2.5
        collected = tributary.collect("watched")
        assert second | {"age_ms": 0} == collected | {"age_ms": 0}
        watching.close()  # type: ignore[attr-defined]


def test_watch_accepts_a_prefix(site: Site):
    with Tributary(site.url) as tributary:
        tributary.record_all([{"device": f"pre-{n}", "speed": n} for n in range(3)])
        heard = {each["device"] for each in islice(tributary.watch(prefix="pre-"), 3)}
    assert heard == {"pre-0", "pre-1", "pre-2"}


@pytest.mark.kills
def test_watch_reconnects_after_a_restart_and_misses_nothing(
    own_site: Callable[..., Site],
):
    site = own_site()
    heard: list[dict[str, Any]] = []

    def listen() -> None:
        for each in Tributary(site.url).watch("a"):
            heard.append(each)
            if each["current_speed"] == 2:
                return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    site.post({"device": "a", "speed": 1})
    wait_until(lambda: heard, "the first")
    site.stop()
    site.start()
    site.post({"device": "a", "speed": 2})
    listener.join(20)
    assert heard[-1]["current_speed"] == 2


def test_watch_rejects_an_invalid_device_name(site: Site):
    with pytest.raises(Refused) as refused:
        next(Tributary(site.url).watch("{x}"))
    assert refused.value.status == 404


def test_watch_gives_up_after_retry_for_s():
    with pytest.raises(Unavailable):
        next(Tributary("http://127.0.0.1:9", retry_for_s=0.3).watch("a"))
