"""The cost of the dashboard in a browser: bytes, first paint, CPU at 50 updates per second."""

from __future__ import annotations

import http.client
import json
import math
import random
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from playwright.sync_api import Browser, CDPSession, Page, ViewportSize, sync_playwright

from bench import launch, machine

_CARS = 25
_UPDATES_HZ = 50
_WARM_S = 20.0
_WIDE: ViewportSize = {"width": 1280, "height": 860}
_PHONE = {"width": 390, "height": 844}


@click.command("page", epilog="Example: scripts/bench page --seconds 10")
@click.option("--seconds", default=10.0, show_default=True, help="how long to measure each view")
@click.option("--shots", type=click.Path(path_type=Path), help="write screenshots to this folder")
def command(seconds: float, shots: Path | None) -> None:
    """Bytes, first paint and CPU time of the dashboard in Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise click.ClickException("chromium not found; apt install chromium")
    with launch.deployment() as (url, *_), _cars_driving(url), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        click.echo(f"machine    {machine.description()}")
        click.echo(f"load       {_measure_load(browser, url)}")
        for view in ("#/", "#/device/car-03"):
            click.echo(f"CPU        {view:<16} {_measure_cpu(browser, url + '/' + view, seconds)}")
        if shots is not None:
            shots.mkdir(parents=True, exist_ok=True)
            _take_screenshots(browser, url, shots)
        browser.close()


def _measure_load(browser: Browser, url: str) -> str:
    paints_ms, transferred, files = [], 0, 0
    for _ in range(5):
        page = browser.new_page(viewport=_WIDE)
        page.goto(url)
        page.locator("table.fleet tbody tr").first.wait_for()
        paints_ms.append(page.evaluate(
            "performance.getEntriesByName('first-contentful-paint')[0].startTime"))  # fmt: skip
        sizes = page.evaluate(
            "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType("
            "'resource').filter((e) => !e.name.includes('/api/'))].map((e) => e.transferSize)"
        )
        transferred, files = sum(sizes), len(sizes)
        page.close()
    paint_ms = sorted(paints_ms)[2]
    return (
        f"{files} files, {transferred / 1000:.1f} kB transferred; "
        f"first contentful paint {paint_ms:.0f} ms (median of 5, empty cache)"
    )


def _measure_cpu(browser: Browser, url: str, seconds: float) -> str:
    page = browser.new_page(viewport=_WIDE)
    page.goto(url)
    page.wait_for_timeout(3_000)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    before = _metrics(session)
    page.wait_for_timeout(seconds * 1000)
    after = _metrics(session)
    took_s = after["Timestamp"] - before["Timestamp"]
    share = {
        name: (after[name] - before[name]) / took_s
        for name in ("TaskDuration", "ScriptDuration", "LayoutDuration")
    }
    page.close()
    return (
        f"{share['TaskDuration']:.1%} of a core on the main thread "
        f"(script {share['ScriptDuration']:.1%}, layout {share['LayoutDuration']:.1%}), "
        f"heap {after['JSHeapUsedSize'] / 2**20:.1f} MiB"
    )


def _metrics(session: CDPSession) -> dict[str, float]:
    return {
        each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]
    }


def _take_screenshots(browser: Browser, url: str, folder: Path) -> None:
    """Take the screenshots of the documentation."""
    settings: dict[str, dict[str, Any]] = {
        "fleet": {"viewport": _WIDE},
        "device": {"viewport": _WIDE},
        "dark": {"viewport": _WIDE, "color_scheme": "dark"},
        "phone": {"viewport": _PHONE, "device_scale_factor": 2},
    }
    opened: dict[str, Page] = {}
    for name, options in settings.items():
        page = opened[name] = browser.new_page(**options)
        page.goto(f"{url}/{'#/' if name in ('fleet', 'phone') else '#/device/car-03'}")
    opened["fleet"].wait_for_timeout(55_000)  # until the charts are full
    for name, page in opened.items():
        page.screenshot(path=folder / f"dashboard-{name}.png")
        page.close()


@contextmanager
def _cars_driving(url: str) -> Iterator[None]:
    """Cars that record readings, and one that soon stops."""
    stop = threading.Event()
    driver = threading.Thread(target=_drive, args=(url, stop))
    driver.start()
    try:
        stop.wait(_WARM_S)
        yield
    finally:
        stop.set()
        driver.join()


def _drive(url: str, stop: threading.Event) -> None:
    rng = random.Random(1)  # noqa: S311 repeatable
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    turn, began_s = 0, time.monotonic()
    while not stop.is_set():
        turn += 1
        body = [
            _car(number, turn * _CARS / _UPDATES_HZ, rng)
            for number in range(1, _CARS + 1)
            if number != 5 or turn < 8
        ]
        connection.request("POST", "/record", json.dumps(body))
        connection.getresponse().read()
        stop.wait(max(0.0, began_s + turn * _CARS / _UPDATES_HZ - time.monotonic()))
    connection.close()


def _car(number: int, at_s: float, rng: random.Random) -> dict[str, Any]:
    speed = 62 + 24 * math.sin(at_s / 9 + number) + rng.gauss(0, 0.6)
    return {
        "device": f"car-{number:02}",
        "engine_temperature": round(89 + 4 * math.sin(at_s / 17 + number) + rng.gauss(0, 0.3), 2),
        "engine_rpm": round(speed * 34 + rng.gauss(0, 30)),
        "speed": round(speed, 1),
        "battery_voltage": round(13.9 + rng.gauss(0, 0.04), 2),
    }
