"""Every role on a master behind sentinels: start, failover, and errors that name the remedy."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
import redis
from support import pipeline
from support.ledger import METRIC
from support.pipeline import Load, Run
from support.processes import Process, request
from support.senders import Style
from support.sentinels import NAME, Announcements, Node, Sentinels
from support.waiting import wait_until

from tributary.errors import Misconfigured, TributaryError, Unavailable
from tributary.operate import job_processes, status
from tributary.settings import Settings, load
from tributary.store import redis_client, redis_url, sentinel, topology

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server")
PASSWORD = "of-the-sentinels"
STYLE = Style((1, 2, 5), pause_s=0.02, is_keyed=True, timeout_s=5.0)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sentinels]:
    folder, config = tmp_path_factory.mktemp("sentinels"), {"appendfsync": "always"}
    running = Sentinels(folder, config=config, password=PASSWORD)
    yield running
    running.close()


@pytest.fixture
def settings(site: Sentinels, tmp_path: Path) -> Settings:
    folder = str(tmp_path / "data")
    return Settings(
        redis_url=site.url, heartbeat_ms=100, redis_timeout_ms=1000, durability="replicated",
        data_dir=folder, jobs_workers=1,
    )  # fmt: skip


class Roles:
    """All roles on one deployment, and a request that shows that each of them works."""

    def __init__(self, run: Run, settings: Settings) -> None:
        self._settings = settings
        environ = pipeline.environ(settings)
        self.processes: list[Process] = [run("aggregator", environ=environ)]
        self.processes.append(run("jobs", environ=environ))
        self.ingest = pipeline.ingest(run, settings)
        self._api = str(run("api", "--port", "0", environ=environ).wait_for(pipeline.SERVING)[1])
        self._count = self._applied = 0

    def checks(self) -> dict[str, Callable[[], bool]]:
        """Role → whether it works on the present master."""
        return {"ingest": self._records, "aggregator": self._is_applied, "api": self._collects,
                "jobs": self._has_jobs}  # fmt: skip

    def wait_until_working(self) -> dict[str, float]:
        """Wait until every role works; role → the time at which it did."""
        self._applied = 0
        checks = self.checks()
        # At the same time: a request may wait for the timeout of Redis.
        with ThreadPoolExecutor(len(checks)) as pool:
            return dict(zip(checks, pool.map(_when_true, checks.values()), strict=True))

    def _records(self) -> bool:
        reading = {"device": "probe", METRIC: self._count}
        is_recorded = request(self.ingest, "POST", "/record", reading, {})[0] == 200
        self._count += is_recorded
        return is_recorded

    def _is_applied(self) -> bool:
        with contextlib.closing(redis_client.connect(self._settings)) as client:
            found = status.read(client, self._settings)
        self._applied = min(self._applied or found.applied, found.applied)
        return bool(found.accepted and (found.pending == 0 or found.applied > self._applied))

    def _collects(self) -> bool:
        return request(self._api, "GET", "/collect?device=probe", None, {})[0] == 200

    def _has_jobs(self) -> bool:
        """Whether a worker is waiting for jobs at the master itself."""
        with contextlib.closing(redis_client.connect(self._settings)) as client:
            waiting = [each for each in client.client_list() if each["cmd"] == "blmove"]
            return bool(waiting and job_processes.alive(self._settings))


def _when_true(works: Callable[[], bool]) -> float:
    """Wait until a check succeeds; returns the time at which it did."""

    def succeeds() -> bool:
        with contextlib.suppress(TributaryError, redis.RedisError):
            return works()
        return False

    wait_until(succeeds, "a role to work", 60)
    return time.monotonic()


def pause_the_master(site: Sentinels, roles: Roles) -> Node:
    """Pause the master until every role works with the next one; returns that one."""
    old = site.master
    with contextlib.closing(Announcements(site.sentinels[0])) as announced:
        old.process.signal(signal.SIGSTOP)
        wait_until(announced.poll, "the announcement of another master", 60)
    assert announced.at_s is not None
    after = {name: at_s - announced.at_s for name, at_s in roles.wait_until_working().items()}
    sys.stderr.write(f"seconds from the announcement until each role works: {after}\n")
    new = site.wait_for_another(old)
    old.process.signal(signal.SIGCONT)
    return new


@pytest.mark.timeout(240)
def test_every_role_follows_a_failover_and_nothing_is_lost(
    run: Run, site: Sentinels, settings: Settings, tmp_path: Path
):
    roles = Roles(run, settings)
    roles.wait_until_working()
    with contextlib.closing(
        Load(roles.ingest, tmp_path / "ledger", readings=2_000, seed=1, style=STYLE)
    ) as load:
        load.wait_for(200)
        new = pause_the_master(site, roles)
        verdict = load.verdict(settings)
    assert (verdict.acknowledged, verdict.lost, verdict.duplicated) == (2_000, 0, 0), verdict
    assert not verdict.miscounted
    site.wait_until_whole()
    assert site.master is new
    status_ = run("status", "--redis-url", settings.redis_url)
    assert status_.end() == 0, status_.text
    doctor = run("doctor", "--redis-url", settings.redis_url)
    doctor.end()
    assert f"all 3 name 127.0.0.1:{new.port} as the master" in doctor.text
    assert PASSWORD not in doctor.text + status_.text


def test_a_server_that_is_not_a_master_is_rejected(site: Sentinels, settings: Settings):
    replica = next(node for node in site.servers if node is not site.master)
    for node in site.sentinels:
        node.client.sentinel_monitor("other", "127.0.0.1", replica.port, 9)
    settings = msgspec.structs.replace(settings, redis_url=site.url.replace(f"/{NAME}/", "/other/"))
    expected = f"127.0.0.1:{replica.port} is a slave, although the sentinels name it as master"
    with pytest.raises(Unavailable, match=expected):
        asyncio.run(topology.Nodes(settings.redis_url, 1000).open("key"))
    client = redis_client.connect(settings)
    with pytest.raises(Unavailable, match=expected), redis_client.failures():
        client.ping()
    client.close()
    for node in site.sentinels:
        node.client.sentinel_remove("other")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis+sentinel://:s3cret@127.0.0.1:1,127.0.0.1:2/cars?sentinel_password=s3cret",
         r"sentinel 127\.0\.0\.1:1: Error 111.*sentinel 127\.0\.0\.1:2: Error 111"),
        ("{hosts}/boats?sentinel_username=watcher&sentinel_password={password}",
         r"does not know a master named 'boats'; correct the name"),
        ("{hosts}/cars?sentinel_username=watcher&sentinel_password=s3cret",
         r"invalid username-password pair"),
        ("{hosts}/cars", r"NOAUTH|Authentication required"),
        ("redis+sentinel://:of-the-servers@127.0.0.1:{server}/cars", "sentinel 127.*ERR|unknown command"),
    ],
)  # fmt: skip
def test_why_no_master_is_found_is_reported_without_passwords(
    site: Sentinels, url: str, expected: str
):
    hosts = site.url.partition(f"/{NAME}/")[0]
    settings = Settings(
        redis_url=url.format(hosts=hosts, password=PASSWORD, server=site.master.port)
    )
    for attempt in (
        lambda: asyncio.run(topology.Nodes(settings.redis_url, 1000).open("key")),
        lambda: redis_client.connect(settings).ping(),
    ):
        with pytest.raises((TributaryError, redis.RedisError), match=expected) as raised:
            attempt()
        assert "s3cret" not in str(raised.value)
        assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis+sentinel://u:s3cret@h1:26379,h2", "names no master"),
        ("redis+sentinel://u:s3cret@h1/cars/zero", "'zero' is not the number of a database"),
        ("redis+sentinel://u:s3cret@h1,,h2/cars", "names no host"),
        ("redis+sentinel://h1:x/cars?password=s3cret", "Port could not be cast"),
        ("rediss+sentinel://h1/cars?sentinel_pass=s3cret", "unknown option 'sentinel_pass'"),
    ],
)
@pytest.mark.parametrize("name", ["REDIS_URL", "JOBS_URL"])
def test_a_malformed_url_is_misconfigured(name: str, url: str, expected: str):
    with pytest.raises(Misconfigured, match=expected) as raised:
        load({f"TRIBUTARY_{name}": url})
    assert "s3cret" not in str(raised.value)


def test_the_login_of_the_url_is_that_of_the_master():
    url = "rediss+sentinel://u:p%40@h1:1,[::1]/my%20cars/2?ssl_ca_certs=/ca&sentinel_password=x%3A"
    found = redis_url.sentinels(url)
    assert found is not None
    assert found.urls == (
        "rediss://:x%3A@h1:1/0?ssl_ca_certs=%2Fca",
        "rediss://:x%3A@[::1]:26379/0?ssl_ca_certs=%2Fca",
    )
    assert found.name == "my cars"
    assert found.master("::2", 7) == "rediss://u:p%40@[::2]:7/2?ssl_ca_certs=%2Fca"
    assert redis_url.sentinels("redis://h1,h2/0") is None


def test_most_of_all_sentinels_need_not_wait_for_the_others():
    old, new = sentinel.Reply(1, ("a", 1)), sentinel.Reply(2, ("b", 1))
    assert sentinel.has_majority([new, new], 3)
    assert not sentinel.has_majority([old, new], 3)
    assert not sentinel.has_majority(["unreachable", "unreachable"], 3)


def test_the_newest_configuration_counts():
    old, new = sentinel.Reply(1, ("a", 1)), sentinel.Reply(2, ("b", 1))
    assert sentinel.choose(None, [old, new, "unreachable"]) == new
    assert sentinel.choose(None, ["unreachable"]) is None
    assert sentinel.choose(new, [old, "unreachable", "unreachable"]) == new
    assert sentinel.choose(new, [old, old, "unreachable"]) == old  # set up again


# The last one: the servers are not in sync again for some seconds.
def test_a_sentinel_that_does_not_reply_delays_nothing(
    site: Sentinels, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sentinel, "_TIMEOUT_S", 60.0)
    silent, other = site.sentinels[0], site.sentinels[1]
    silent.process.signal(signal.SIGSTOP)
    began_s = time.monotonic()
    watch = sentinel.Watch(settings.redis_url)  # one of its own, as if the process had just begun
    old = site.named_by(other)
    assert watch.master()[1] == old.port
    with contextlib.closing(Announcements(other)) as announced:
        other.client.sentinel_failover(NAME)
        wait_until(announced.poll, "the announcement of another master", 30)
    wait_until(lambda: watch.master()[1] != old.port, "the watch to follow", 10)
    assert time.monotonic() - began_s < 50
