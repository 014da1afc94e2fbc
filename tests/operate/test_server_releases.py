"""Releases of the server without known security fixes are recognized, and SECURITY.md names them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support.processes import ROOT, Server

from tributary.operate import server_releases
from tributary.operate.server_releases import DEBIAN_PACKAGE, REDIS, VALKEY


def info(version: str, *, is_valkey: bool = False) -> dict[str, Any]:
    return {"redis_version": "7.2.4", "valkey_version": version} if is_valkey else {
        "redis_version": version
    }  # fmt: skip


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        ("7.4.10", "Redis 7.4.11 or later"),
        ("8.2.8", "Redis 8.2.9 or later"),
        ("8.10.0", "Redis 8.10.1 or later"),
        ("7.0.14", "install Redis 8.10.1"),
        ("8.0.5", "install Redis 8.10.1"),
        ("7.2.12", "install Redis 8.10.1"),
        ("unknown", "'unknown'"),
        ("", "''"),
    ],
)
def test_an_old_redis_is_recognized(version: str, remedy: str):
    assert remedy in server_releases.lacks(info(version))


@pytest.mark.parametrize("version", ["7.4.11", "7.4.12", "8.10.1", "8.12.0", "9.0.0", "7.0.15"])
def test_a_redis_with_the_fixes_is_not(version: str):
    assert server_releases.lacks(info(version)) == ""


def test_the_package_of_debian_has_to_be_checked_by_hand():
    assert DEBIAN_PACKAGE in server_releases.note(info("7.0.15"))
    assert DEBIAN_PACKAGE not in server_releases.note(info("7.4.11"))


def test_an_old_valkey_is_recognized():
    assert "older than 9.1.2" in server_releases.lacks(info("9.1.1", is_valkey=True))
    assert server_releases.lacks(info("9.1.2", is_valkey=True)) == ""


def test_the_embedded_server_has_the_fixes(server: Server):
    assert server_releases.lacks(server.client.info("server")) == ""


def test_the_security_policy_names_the_same_releases():
    text = (ROOT / "SECURITY.md").read_text()
    assert DEBIAN_PACKAGE in text
    for numbers in ((*series, patch) for series, patch in REDIS.items()):
        assert ".".join(map(str, numbers)) in text
    assert ".".join(map(str, VALKEY)) in text


def test_the_tests_that_the_security_policy_names_exist():
    named = re.findall(r"`(tests/[^`]+)`", (ROOT / "SECURITY.md").read_text())
    assert len(named) > 10
    assert not [path for path in named if not (ROOT / path).exists()]
