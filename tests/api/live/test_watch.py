"""The Python client listens, and comes back by itself."""

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


def test_lines_make_events():
    lines = ["retry: 1", ": a comment", "", "id: 1", "event: reading", "data: {", "data:}", ""]
    lines += ["data: x", "", "id: 3", "data: cut off"]
    assert list(events(lines)) == [Event("reading", "1", "{\n}"), Event("message", "1", "x")]


def test_watch_gives_what_collect_answers_each_time_it_changes(site: Site):
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


def test_watch_takes_a_prefix(site: Site):
    with Tributary(site.url) as tributary:
        tributary.record_all([{"device": f"pre-{n}", "speed": n} for n in range(3)])
        heard = {each["device"] for each in islice(tributary.watch(prefix="pre-"), 3)}
    assert heard == {"pre-0", "pre-1", "pre-2"}


def test_watch_survives_a_restart_and_misses_nothing_of_what_comes_then(
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


def test_watch_of_what_cannot_be_is_refused(site: Site):
    with pytest.raises(Refused) as refused:
        next(Tributary(site.url).watch("{x}"))
    assert refused.value.status == 404


def test_watch_gives_up_when_patience_ends():
    with pytest.raises(Unavailable):
        next(Tributary("http://127.0.0.1:9", retry_for_s=0.3).watch("a"))
