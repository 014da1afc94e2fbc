"""Live updates over HTTP, with a real server, aggregator, listeners and guard."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from support import forgetting
from support.processes import Server
from support.site import Site
from support.sse import Ear
from support.waiting import wait_until

from api import app
from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.errors import Refused
from tributary.model.clock import utc_ms
from tributary.store import keys

Listen = Callable[..., Ear]


def test_an_event_has_the_data_of_collect(site: Site, listen: Listen):
    ear = listen(site, "?device=heard")
    assert ear.response.status == 200
    assert ear.response.getheader("Content-Type") == "text/event-stream"
    assert ear.response.getheader("Cache-Control") == "no-store"
    site.post({"device": "heard", "speed": 50.5})
    heard = ear.wait_for("heard", current_speed=50.5)
    assert heard.type == "reading"
    collected = site.get("/collect?device=heard")[1]
    assert list(heard.data) == list(collected)
    assert heard.data | {"age_ms": 0} == collected | {"age_ms": 0}


def test_sends_the_current_value_at_once(site: Site, listen: Listen):
    site.post({"device": "before", "speed": 1})
    wait_until(lambda: site.get("/collect?device=before")[0] == 200, "the reading")
    assert listen(site, "?device=before").wait_for("before").data["current_speed"] == 1


def test_sends_at_most_ten_events_per_second_and_the_newest_last(site: Site, listen: Listen):
    ear = listen(site, "?device=fast")
    began_s = time.monotonic()
    last = 0
    while time.monotonic() - began_s < 1.5:
        last += 1
        site.post({"device": "fast", "n": last})
    ear.wait_for("fast", current_n=float(last))
    spans_s = [b.at_s - a.at_s for a, b in pairwise(ear.events)]
    assert len(ear.events) < last, "several readings in one event"
    assert len(ear.events) <= (ear.events[-1].at_s - ear.events[0].at_s) * 10 + 2, spans_s
    values = [heard.data["current_n"] for heard in ear.events]
    assert values == sorted(values)


def test_does_not_send_again_what_the_client_has(site: Site, listen: Listen):
    first = listen(site, "?device=again")
    site.post({"device": "again", "speed": 1})
    had = first.wait_for("again", current_speed=1.0).id
    first.close()
    second = listen(site, "?device=again", Last_Event_ID=had)
    site.post({"device": "again", "speed": 2})
    second.wait_for("again", current_speed=2.0)
    assert [heard.data["current_speed"] for heard in second.events] == [2.0]


def test_does_not_send_it_again_after_a_restart(site: Site, listen: Listen):
    site.post({"device": "restarted", "speed": 1})
    had = listen(site, "?device=restarted").wait_for("restarted").id
    site.stop()
    site.start()
    ear = listen(site, "?device=restarted", Last_Event_ID=had)
    site.post({"device": "restarted", "speed": 2})
    ear.wait_for("restarted", current_speed=2.0)
    assert [heard.data["current_speed"] for heard in ear.events] == [2.0]


def test_sends_an_event_when_a_device_becomes_stale(own_site: Callable[..., Site], listen: Listen):
    site = own_site(stale_after_ms=500)
    ear = listen(site, "?device=mute")
    site.post({"device": "mute", "speed": 1})
    ear.wait_for("mute", stale=True)
    assert ear.events[-1].data["age_ms"] > 500


def test_sends_only_the_devices_named(site: Site, listen: Listen):
    ear = listen(site, "?device=one&device=two%2F2")
    site.post([{"device": name, "speed": 1} for name in ("one", "three", "two/2")])
    ear.wait_for("one")
    ear.wait_for("two/2")
    assert {heard.data["device"] for heard in ear.events} == {"one", "two/2"}


def test_new_devices_enter_a_page(site: Site, listen: Listen):
    site.post([{"device": f"page-{n}", "speed": n} for n in (1, 2, 9)])
    ear = listen(site, "?prefix=page-&limit=3")
    for number in (1, 2, 9):
        ear.wait_for(f"page-{number}")
    site.post({"device": "page-3", "speed": 3})
    ear.wait_for("page-3")
    site.post([{"device": name, "speed": 7} for name in ("page-1", "page-9", "other")])
    ear.wait_for("page-1", current_speed=7.0)
    assert not [h for h in ear.events if h.data["device"] == "other"]
    assert not [
        h for h in ear.events if h.data["device"] == "page-9" and h.data["current_speed"] == 7
    ]


def test_a_forgotten_device_leaves_its_page_and_begins_again(site: Site, listen: Listen):
    site.post([{"device": f"left-{n}", "speed": n} for n in (1, 2, 3)])
    ear = listen(site, "?prefix=left-&limit=2")
    ear.wait_for("left-2")
    partition = keys.partition_of("left-1", site.settings.partitions)
    forgetting.append(site.server.client, partition, ["left-1"])
    ear.wait_for("left-3")  # it has moved up
    assert site.get("/collect?device=left-1")[0] == 404
    assert site.get("/api/v1/devices/left-1")[0] == 404
    listed = site.get("/api/v1/devices?prefix=left-")[1]["devices"]
    assert [each["device"] for each in listed] == ["left-2", "left-3"]
    site.post({"device": "left-1", "rpm": 5})
    heard = ear.wait_for("left-1", current_rpm=5.0)
    assert "current_speed" not in heard.data


def test_reads_a_device_once_for_all_listeners(site: Site, listen: Listen):
    ears = [listen(site, "?device=popular") for _ in range(40)]
    site.post({"device": "popular", "n": 0})
    for ear in ears:
        ear.wait_for("popular", current_n=0.0)
    with site.server.client.monitor() as monitor:
        for number in range(1, 6):
            site.post({"device": "popular", "n": number})
            for ear in ears:
                ear.wait_for("popular", current_n=float(number))
        site.server.client.echo("the end")
        commands = list(
            itertools.takewhile(
                lambda command: command != "ECHO the end",
                (monitor.next_command()["command"] for _ in itertools.count()),
            )
        )
    # One for each change; one for each listener as well would be 200. An aggregator reads
    # the value of a device only when the device is new to it.
    reads = [each for each in commands if each.startswith("HMGET ") and ":latest " in each]
    assert 5 <= len(reads) <= 2 * 5, commands


def test_streams_survive_an_outage_of_redis(site: Site, listen: Listen):
    ear = listen(site, "?device=steady")
    site.post({"device": "steady", "speed": 1})
    ear.wait_for("steady", current_speed=1.0)
    site.server.kill()
    site.server.start()

    def posted() -> bool:
        with contextlib.suppress(AssertionError):
            site.post({"device": "steady", "speed": 2})
            return True
        return False

    wait_until(posted, "ingest to recover")
    ear.wait_for("steady", current_speed=2.0)
    assert not ear.has_ended


def test_disconnects_a_client_that_does_not_read_and_serves_the_others(
    own_site: Callable[..., Site], listen: Listen
):
    site = own_site()
    names = [f"big-{n}" for n in range(100)]
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.connect(("127.0.0.1", int(site.url.rsplit(":", 1)[1])))
    stuck.sendall(b"GET /api/v1/live?prefix=big- HTTP/1.1\r\nHost: x\r\n\r\n")
    ear = listen(site, "?device=big-0")
    done = threading.Event()

    def post() -> None:
        number = 0
        while not done.is_set():
            number += 1
            metrics = {f"metric_{n:02}": number + n / 7 for n in range(60)}
            site.post([{"device": name, **metrics} for name in names])

    poster = threading.Thread(target=post)
    poster.start()
    try:
        wait_until(lambda: connections(site) == 1, "the stuck listener to be disconnected", 60)
        heard = len(ear.events)
        wait_until(lambda: len(ear.events) > heard + 3, "the other listener to get more")
    finally:
        done.set()
        poster.join()
        stuck.close()


def connections(site: Site) -> int:
    """Connections of listeners that the server holds open."""
    port = f"{int(site.url.rsplit(':', 1)[1]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    established = [row for row in rows if row[3] == "01" and row[1].endswith(f":{port}")]
    return len([row for row in established if int(row[9]) > 0])


def test_responds_with_501_without_an_event_loop():
    with pytest.raises(Refused, match="--no-lane") as refused:
        app.get_live()
    assert refused.value.status == 501


def test_requires_a_token_and_disconnects_within_seconds_of_its_revocation(
    own_site: Callable[..., Site],
):
    site = own_site()
    now_ms = utc_ms()
    cars = Token("t1", "cars", "car-*", ("collect", "record"), now_ms)
    secret = tokens.create(site.server.client, cars)
    # Until the first token exists, clients on this machine need none.
    tokens.create(site.server.client, Token("t2", "other", "*", ("collect",), now_ms))
    wait_until(lambda: site.get("/api/v1/status")[0] == 401, "the guard to know")
    assert site.get("/api/v1/live?device=car-1")[0] == 401
    bearer = {"Authorization": f"Bearer {secret}"}
    assert site.get("/api/v1/status", **bearer)[0] == 200
    assert site.get("/api/v1/live?device=bus-1", **bearer)[0] == 403
    ear = Ear(site.url, "?device=car-1", **bearer)
    assert ear.response.status == 200
    tokens.revoke(site.server.client, "t1")
    revoked_s = time.monotonic()
    wait_until(lambda: ear.has_ended, "the connection to end", 5)
    assert time.monotonic() - revoked_s < 5
    ear.close()


def test_transitions_of_alerts_are_events_without_an_id(
    tmp_path_factory: pytest.TempPathFactory, listen: Listen
):
    server = Server(tmp_path_factory.mktemp("alert-events"))
    metrics = server.folder / "metrics.toml"
    metrics.write_text("[speed.alerts.fast]\nabove = 100\nseverity = 'critical'\n")
    site = Site(server, metrics_file=str(metrics))
    try:
        site.post({"device": "seen-before", "speed": 120})
        wait_until(lambda: site.get("/api/v1/alerts")[1]["alerts"], "an alert")
        ear = listen(site, "?device=car&device=seen-before")
        ear.wait_for("seen-before", current_speed=120.0)
        site.post({"device": "car", "speed": 120, "recorded_at": utc_ms()})
        fired = ear.wait_for("car", state="firing")
        (listed,) = site.get("/api/v1/alerts?device=car")[1]["alerts"]
        assert (fired.type, fired.data, fired.id) == ("alert", listed, "")
        site.post({"device": "car", "speed": 80})
        ended = ear.wait_for("car", state="ok")
        assert (ended.data["rule"], ended.data["value"]) == ("fast", 80.0)
        alerts = [heard.data["device"] for heard in ear.events if heard.type == "alert"]
        assert alerts == ["car", "car"]
    finally:
        site.close()
        server.close()
