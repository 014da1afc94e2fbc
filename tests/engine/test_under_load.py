"""Containers that are killed, scaled, replaced and restored under load, with the ledger.

Each acknowledged reading must count exactly once. docs/reliability.md has what these tests print.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from deploy import readme
from faults.rig import Unsupported
from faults.upgrade_command import export
from support.ledger import Verdict

from engine.engine import Engine
from engine.site import ONCE, REPEATED, Load, Site
from engine.stack import IMAGES, ROLES, Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
_KILLS = 5  # of each service
_SCALED = (("aggregator", (4, 1, 2)), ("ingest", (3, 1, 2)), ("api", (3, 1, 2)))
_PREVIOUS = "v0.2.0"
_FORMAT_2 = "4e55f69"  # the last commit with it


@pytest.fixture(scope="module")
def site(
    engine: Engine, new_stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Two containers of each role but jobs, with volumes of their own."""
    stack = Stack(engine, f"{new_stack.project}-load")
    take_images(stack, new_stack)
    stack.replicas |= {"ingest": 2, "api": 2}
    try:
        stack.up()
        stack.wait_healthy()
        with contextlib.closing(Site(stack, tmp_path_factory.mktemp("load"))) as made:
            yield made
    finally:
        stack.remove()


def take_images(stack: Stack, other: Stack) -> None:
    for role in ROLES:
        stack.engine.run("tag", other.image(role), stack.image(role))


def exported(commit: str, folder: Path) -> Path:
    try:
        return export(commit, folder)
    except Unsupported as error:
        pytest.skip(str(error))


def crash(stack: Stack, name: str) -> None:
    """Kill the first process of a container from outside, as the kernel does without memory."""
    os.kill(stack.engine.inspect("container", name)["State"]["Pid"], signal.SIGKILL)


def report(what: str, load: Load, verdict: Verdict) -> None:
    lost, twice = verdict.lost + verdict.uncounted, verdict.duplicated + verdict.overcounted
    print(f"\n{what}: {load}, lost {lost}, twice {twice}")  # noqa: T201


def assert_exact(verdict: Verdict) -> None:
    assert verdict.lost == verdict.uncounted == 0, verdict
    assert_nothing_twice(verdict)


def assert_nothing_twice(verdict: Verdict) -> None:
    assert verdict.duplicated == verdict.overcounted == verdict.unexpected == 0, verdict
    assert not verdict.miscounted, verdict.miscounted


def assert_no_request_failed(what: str, site: Site, load: Load) -> None:
    """Of the senders and of the readers; and each reading counts once."""
    verdict = site.verdict()
    report(what, load, verdict)
    assert not load.errors
    assert not load.unread
    assert_exact(verdict)


def kill(site: Site, service: str, load: Load) -> Verdict:
    """Kill the containers of a service in turn while the load goes on."""
    stack = site.stack
    for number in range(_KILLS):
        load.wait_for()
        name = stack.name(service, number % stack.replicas[service] + 1)
        crash(stack, name)
        load.wait_for()
        stack.wait_healthy(name)
    load.end()
    verdict = site.verdict()
    report(f"{service} killed {_KILLS} times", load, verdict)
    return verdict


@pytest.mark.parametrize("service", ["proxy", "ingest", "api", "aggregator", "jobs", "redis"])
def test_a_service_that_is_killed_starts_again_and_each_reading_counts_once(
    site: Site, service: str
):
    with site.load(f"killed-{service}", REPEATED) as load:
        assert_exact(kill(site, service, load))


def test_a_request_without_a_key_is_never_repeated_by_the_proxy(site: Site):
    with site.load("no-key", ONCE) as load:
        assert_exact(kill(site, "ingest", load))


def test_no_request_fails_while_roles_are_scaled_up_and_down(site: Site):
    with site.load("scaled", ONCE) as load:
        load.read()
        for service, counts in _SCALED:
            for count in counts:
                site.stack.scale(service, count)
                load.wait_for()
    assert_no_request_failed(f"scaled, {dict(_SCALED)}", site, load)


@pytest.fixture(scope="module")
def releases(
    site: Site, new_stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, dict[str, str]]]:
    """The image of each role, of the previous release and of this checkout."""
    engine = site.stack.engine
    tree = exported(_PREVIOUS, tmp_path_factory.mktemp("previous"))
    previous = {role: f"{site.stack.image(role)}-previous" for role in ROLES}
    for role in ("ingest", "aggregator"):
        engine.build(f"Dockerfile.{IMAGES[role]}", previous[role], tree)
    yield {_PREVIOUS: previous, "this checkout": {role: new_stack.image(role) for role in ROLES}}
    engine.run("image", "rm", "--force", *set(previous.values()), check=False)


@pytest.mark.parametrize("release", [_PREVIOUS, "this checkout"])
def test_no_request_fails_while_each_container_is_replaced_by_another_release(
    site: Site, releases: dict[str, dict[str, str]], release: str
):
    """First back to the previous release, which reads what this one has stored, then forward."""
    stack = site.stack
    with site.load(f"to-{release.replace(' ', '-')}", ONCE) as load:
        load.read()
        for role in ROLES:
            for number in range(stack.replicas[role]):
                stack.replace(role, number + 1, releases[release][role])
                load.wait_for()
    assert_no_request_failed(f"every container replaced by one of {release}", site, load)


def test_a_backup_under_load_is_restored_into_new_volumes(site: Site):
    stack = site.stack
    hold, state, resume = readme.inside("exec", "valkey-cli")
    (save,), (extract,) = readme.inside("exec", "tar"), readme.inside("run", "tar")
    redis = stack.name("redis")
    with site.load("before", REPEATED) as load:
        load.wait_for(500)
    assert_exact(site.verdict())
    with site.load("during", REPEATED) as load:
        load.wait_for()
        stack.exec(redis, *hold)
        assert b"aof_rewrite_in_progress:0" in stack.exec(redis, *state)
        # Status 1: a file changed while it was read.
        archive = stack.engine.run("exec", redis, *save, check=False).stdout
        stack.exec(redis, *resume)
        load.wait_for()
    stack.compose("down", "--volumes")
    stack.compose("run", "--rm", "--no-deps", "-T", "redis", *extract, given=archive)
    stack.up()
    stack.wait_healthy()
    verdict = site.verdict()
    report(f"restored from {len(archive)} bytes", load, verdict)
    assert 0 < verdict.lost < load.acknowledged  # recorded after the backup
    assert verdict.uncounted == 0
    assert_nothing_twice(verdict)


@pytest.fixture
def of_format_2(
    engine: Engine, new_stack: Stack, tmp_path: Path
) -> Iterator[tuple[Site, Path, dict[str, str]]]:
    """A deployment of the last release with format 2, its checkout, and its images."""
    tree = exported(_FORMAT_2, tmp_path / "format-2")
    stack = Stack(engine, f"{new_stack.project}-format")
    everything = dict(stack.replicas)
    stack.replicas = {"redis": 1, "ingest": 1, "api": 1, "aggregator": 1}
    # Its compose.yaml has no names of images, so podman-compose makes them.
    images = {role: f"localhost/{stack.project}_{role}" for role in ("ingest", "api", "aggregator")}
    try:
        for role, image in images.items():
            engine.build(f"Dockerfile.{IMAGES[role]}", image, tree)
        stack.up(folder=tree / "compose")
        stack.wait_healthy()
        with contextlib.closing(Site(stack, tmp_path)) as made:
            yield made, tree, images
    finally:
        stack.replicas = everything
        stack.remove()
        engine.run("image", "rm", "--force", *images.values(), check=False)


def test_format_2_is_upgraded_and_a_rollback_to_it_is_refused(
    of_format_2: tuple[Site, Path, dict[str, str]], new_stack: Stack
):
    site, tree, images = of_format_2
    stack = site.stack
    with site.load("upgraded", REPEATED) as load:
        load.wait_for(300)
        stack.compose("down", folder=tree / "compose")
        stack.replicas = dict(new_stack.replicas)
        take_images(stack, new_stack)
        stack.up()
        stack.wait_healthy()
        load.wait_for(300)
    verdict = site.verdict()
    report(f"upgraded from {_FORMAT_2}", load, verdict)
    assert_exact(verdict)
    url, network = site.settings.redis_url, f"{stack.project}_store"
    options = ("--rm", "--network", network, "--env", f"TRIBUTARY_REDIS_URL={url}")
    refused = stack.engine.run("run", *options, images["aggregator"], check=False)
    text = (refused.stdout + refused.stderr).decode()
    print(f"rollback to {_FORMAT_2}: exit status {refused.returncode}, {text}")  # noqa: T201
    assert refused.returncode == 2
    assert "format is 3 in Redis, 2 here" in text
