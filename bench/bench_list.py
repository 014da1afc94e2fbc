"""The list of devices with large fleets: time to the first row, and of filters and orders."""

from __future__ import annotations

import shutil
import time
import urllib.request

import click
import redis
from playwright.sync_api import Browser, sync_playwright

from bench import launch, machine, prefill, redis_server
from tributary.model.clock import utc_ms
from tributary.store import keys

_QUERIES = {
    "first page": "",
    "search": "search=777",
    "stale, by age": "state=stale&sort=age&order=desc",
    "by metric": "sort=metric:engine_temperature&order=desc&offset=5000",
}
_ROUNDS = 15
_CHUNK = 20_000


@click.command("list", epilog="Example: scripts/bench list --devices 10000")
@click.option(
    "--devices",
    type=click.IntRange(1),
    multiple=True,
    default=(10_000, 100_000),
    show_default=True,
    help="number of devices; may be repeated",
)
def command(devices: tuple[int, ...]) -> None:
    """Time to the first row of the dashboard, and of requests for the list."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise click.ClickException("chromium not found; apt install chromium")
    click.echo(f"machine    {machine.description()}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for count in devices:
            _measure(browser, count)
        browser.close()


def _measure(browser: Browser, count: int) -> None:
    with launch.deployment() as (url, redis_url, pid):
        with redis.Redis.from_url(redis_url) as client:
            _fill(client, count)
        rss_before = machine.resident_bytes(pid)
        rows_ms = [_first_row_ms(browser, url) for _ in range(5)]
        click.echo(
            f"{count:>7,}    first row {rows_ms[0]:.0f} ms after the server started, then "
            f"{sorted(rows_ms[1:])[1]:.0f} ms"
        )
        for name, query in _QUERIES.items():
            times_ms = sorted(_request_ms(f"{url}/api/v1/fleet?{query}") for _ in range(_ROUNDS))
            click.echo(
                f"           {name:<14} median {times_ms[_ROUNDS // 2]:.0f} ms, "
                f"slowest of {_ROUNDS} {times_ms[-1]:.0f} ms"
            )
        grown = machine.resident_bytes(pid) - rss_before
        click.echo(f"           memory of the HTTP worker +{grown / 2**20:.0f} MiB")


def _fill(client: redis.Redis, count: int) -> None:
    prefill.write(client, count)
    partitions = redis_server.partitions(client)
    for first in range(0, count, _CHUNK):
        pipeline = client.pipeline(transaction=False)
        for number in range(first, min(first + _CHUNK, count)):
            name = f"car-{number}"
            pipeline.zadd(keys.devices(keys.partition_of(name, partitions)), {name: 0})
        pipeline.execute()


def _first_row_ms(browser: Browser, url: str) -> float:
    """From the start of the navigation to the first row in the table, with an empty cache."""
    page = browser.new_page()
    began_ms = utc_ms()
    page.goto(url)
    page.locator("table.fleet tbody tr").first.wait_for()
    taken_ms = utc_ms() - began_ms
    page.close()
    return taken_ms


def _request_ms(url: str) -> float:
    began_s = time.perf_counter()
    with urllib.request.urlopen(url) as response:  # noqa: S310 the deployment of this benchmark
        response.read()
    return (time.perf_counter() - began_s) * 1000
