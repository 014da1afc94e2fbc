"""Clients that people have: the Python libraries of InfluxDB 1 and 2, and `influx -import`."""

from __future__ import annotations

import shutil
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import influxdb
import influxdb_client
import pytest
import redis
from influxdb.exceptions import InfluxDBClientError
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from support.waiting import wait_until
from support.webs import Web

from tributary.auth import tokens
from tributary.auth.tokens import Token

Accepted = Callable[[], int]


@pytest.fixture
def secret(web: Web, web_client: redis.Redis) -> Iterator[str]:
    made = tokens.create(web_client, Token("influx", "", "*", ("record",), 0))
    paths = ("/write?db=x", f"/write?db=x&p={made}")
    wait_until(
        lambda: [web.ask("POST", path, b"").status for path in paths] == [401, 204],
        "this token to be required",
    )
    yield made
    tokens.revoke(web_client, "influx")


def points(count: int, now_ns: int) -> list[dict[str, Any]]:
    return [
        {
            "measurement": "room climate",
            "tags": {"device": f"room-{n % 3}", "note": "a, b=c"},
            "fields": {"temperature": 20.5 + n, "people": n, "open": n % 2 == 0, "who": 'a "b"'},
            "time": now_ns - n * 1_000_000,
        }
        for n in range(count)
    ]


def test_the_client_of_influxdb_1(web: Web, secret: str, accepted: Accepted):
    client = influxdb.InfluxDBClient("127.0.0.1", web.port, "any", secret, "home", gzip=True)
    before = accepted()
    assert client.ping() == "1.8.10"
    client.create_database("home")
    assert {"name": "home"} in client.get_list_database()
    assert client.write_points([])
    assert client.write_points(points(50, time.time_ns()), batch_size=20)
    assert client.write("engine,device=car-7 rpm=900i", {"db": "home"}, protocol="line")
    assert accepted() == before + 51
    with pytest.raises(InfluxDBClientError, match="partial write: unable to parse 'engine'") as bad:
        client.write(["engine", "engine,device=car-7 rpm=900i"], {"db": "home"}, protocol="line")
    assert bad.value.code == 400
    client.switch_user("any", "wrong")
    with pytest.raises(InfluxDBClientError, match="authorization failed"):
        client.write_points(points(1, time.time_ns()))
    client.close()
    assert accepted() == before + 52


def test_the_client_of_influxdb_2(web: Web, secret: str, accepted: Accepted):
    url = f"http://127.0.0.1:{web.port}"
    before = accepted()
    with influxdb_client.InfluxDBClient(url, secret, org="home", enable_gzip=True) as client:
        assert client.ping()
        writer = client.write_api(SYNCHRONOUS)
        writer.write("sensors", record=points(50, time.time_ns()))
        point = influxdb_client.Point("engine").tag("device", "car-7").field("rpm", 900)
        writer.write("sensors", record=point.time(time.time_ns() // 10**9, "s"))
        assert accepted() == before + 51
        with pytest.raises(ApiException) as bad:
            writer.write("sensors", record=["engine,device=car-7 rpm=900i", "engine"])
        assert (bad.value.status, bad.value.message) == (
            400,
            "unable to parse 'engine': missing fields",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns about queries without its optional pandas
        with influxdb_client.InfluxDBClient(url, "wrong", org="home") as client:
            with pytest.raises(ApiException) as refused:
                client.write_api(SYNCHRONOUS).write("sensors", record="a f=1")
            assert refused.value.status == 401
    assert accepted() == before + 51


def test_influx_import(web: Web, secret: str, accepted: Accepted, tmp_path: Path):
    """The program of Debian's package influxdb-client."""
    program = shutil.which("influx")
    if program is None:
        pytest.skip("influx is not installed; apt-get install influxdb-client")
    before, now_s = accepted(), time.time_ns() // 10**9
    lines = [f"cpu,host=pi-{n % 4} usage={n}.5,user=1i {now_s - n}" for n in range(6_000)]
    dump = tmp_path / "dump.txt"
    head = ["# DDL", "CREATE DATABASE home", "# DML", "# CONTEXT-DATABASE: home"]
    dump.write_text("\n".join([*head, *lines, ""]))
    done = subprocess.run(
        [
            *(program, "-host", "127.0.0.1", "-port", str(web.port), "-username", "any"),
            *("-password", secret, "-import", f"-path={dump}", "-precision", "s"),
        ],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert accepted() == before + 6_000, (done.stdout + done.stderr)[:2000]
    assert "Failed 0 inserts" in done.stdout + done.stderr
