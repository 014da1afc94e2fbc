"""One table of settings: name, default, unit and meaning; read once, validated all at once.

A setting is the environment variable `TRIBUTARY_<NAME>` and, on the command line, the option
of the same name. Nothing reads the environment at import.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta

from tributary.auth import browsers, cors
from tributary.errors import Misconfigured
from tributary.model import catalogue
from tributary.model.window import Window, parse_windows
from tributary.store import redis_url

PREFIX = "TRIBUTARY_"
# The credential of client commands, which no role reads.
TOKEN_VARIABLE = f"{PREFIX}TOKEN"
# What a type cannot say; each raises an error that names the fault.
_CHECKS: dict[str, Callable[[str], object]] = {
    "redis_url": redis_url.seeds,
    "windows": parse_windows,
    "metrics_file": catalogue.load,
    "cors_origins": cors.parse_origins,
    "public_hosts": browsers.parse_hosts,
}
_LARGEST_BODIES_MIN = 8  # half of what is under way may wait for its rest, chunked twice as long


def _setting(meaning: str, unit: str = "", **limits: Any) -> Meta:
    return Meta(description=meaning, extra={"unit": unit}, **limits)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of every role, frozen."""

    redis_url: Annotated[
        str,
        _setting(
            "where Redis or Valkey is: redis://, rediss:// or unix://; of a cluster several nodes, "
            "redis://host1:port,host2:port/0",
            "URL",
            min_length=1,
        ),
    ] = "redis://127.0.0.1:6379/0"
    host: Annotated[str, _setting("address the HTTP port listens on", min_length=1)] = "127.0.0.1"
    port: Annotated[int, _setting("port of the HTTP server", ge=0, le=65535)] = 8000
    data_dir: Annotated[
        str, _setting("where the embedded server keeps its data", "path", min_length=1)
    ] = "data"
    server_binary: Annotated[
        str, _setting("program to run as the embedded server; empty: the Valkey that came along")
    ] = ""
    open: Annotated[
        bool, _setting("serve other machines without tokens; anybody may then write and read")
    ] = False
    ingest_workers: Annotated[int, _setting("HTTP worker processes", "processes", ge=1, le=256)] = 1
    http_threads: Annotated[
        int, _setting("threads of each HTTP worker", "threads", ge=1, le=1024)
    ] = 8
    aggregators: Annotated[
        int, _setting("aggregator processes that `up` starts", "processes", ge=0, le=256)
    ] = 1
    partitions: Annotated[
        int,
        _setting("streams the devices are spread over; fixed once data exists", ge=1, le=4096),
    ] = 16
    stream_max_entries: Annotated[
        int, _setting("entries kept in the stream of one partition", "entries", ge=100)
    ] = 100_000
    overflow: Annotated[
        Literal["refuse", "trim"],
        _setting("past 90 % of the cap unread: answer 503, or let the oldest go"),
    ] = "refuse"
    durability: Annotated[
        Literal["memory", "aof", "fsync", "replicated"],
        _setting("what Redis must have done before a 200; checked against its own settings"),
    ] = "aof"
    idempotency_ttl_ms: Annotated[
        int, _setting("how long an Idempotency-Key is remembered", "ms", ge=1000)
    ] = 600_000
    rate_per_device: Annotated[
        float, _setting("readings a second from one device, per HTTP process; 0: any", ge=0)
    ] = 0.0
    rate_per_token: Annotated[
        float, _setting("readings a second with one token, per HTTP process; 0: any", ge=0)
    ] = 0.0
    new_series_per_second: Annotated[
        float,
        _setting(
            "series not seen before that may join per second, per token and HTTP process; 0: any",
            "series",
            ge=0,
        ),
    ] = 30_000.0
    lane: Annotated[
        bool, _setting("answer the hot routes on the event loop; off: plain Flask on threads")
    ] = True
    average_over: Annotated[
        int,
        _setting(
            "newest readings in the average; fixed once data exists", "readings", ge=1, le=100
        ),
    ] = 10
    windows: Annotated[
        str,
        _setting("sliding windows and their slots; fixed once data exists", "D/slot,…"),
    ] = "1m/5s,15m/1m,1h/5m,24h/1h"
    stale_after_ms: Annotated[int, _setting("age at which a value is called stale", "ms", ge=1)] = (
        10_000
    )
    metrics_file: Annotated[
        str,
        _setting("catalogue of metrics, TOML; empty: the one that came along", "path"),
    ] = ""
    implausible: Annotated[
        Literal["flag", "refuse"],
        _setting("a reading outside its metric's plausible range is stored and marked, or refused"),
    ] = "flag"
    cors_origins: Annotated[
        str, _setting("pages of other hosts that may read the answers; empty: none", "origin,…")
    ] = ""
    public_hosts: Annotated[
        str,
        _setting(
            "host names under which this server is reached; checked only while no token is asked "
            "for: IP addresses and localhost always pass",
            "name,…",
        ),
    ] = ""
    future_max_ms: Annotated[
        int, _setting("how far ahead of the server a reading may be", "ms", ge=0)
    ] = 300_000
    body_max_bytes: Annotated[
        int, _setting("largest request body", "bytes", ge=1024, le=512 * 1024 * 1024)
    ] = 1_048_576
    batch_max_readings: Annotated[
        int, _setting("most readings in one request", "readings", ge=1)
    ] = 10_000
    in_flight_max_bytes: Annotated[
        int, _setting("request bodies one HTTP process holds at once", "bytes", ge=1_048_576)
    ] = 67_108_864
    connections_max: Annotated[
        int, _setting("connections one HTTP process holds at once", "connections", ge=1)
    ] = 10_000
    idle_timeout_ms: Annotated[
        int, _setting("how long a connection may rest between requests", "ms", ge=100)
    ] = 75_000
    head_timeout_ms: Annotated[
        int, _setting("how long the head of a request may take to arrive", "ms", ge=100)
    ] = 10_000
    body_timeout_ms: Annotated[
        int, _setting("how long a body may take to arrive, or an answer to be read", "ms", ge=100)
    ] = 30_000
    live_listeners_per_token: Annotated[
        int, _setting("of them with one token", "listeners", ge=1)
    ] = 1_000
    live_listeners_per_address: Annotated[
        int,
        _setting("of them from one address; behind a proxy all have its own", "listeners", ge=1),
    ] = 1_000
    series_max: Annotated[
        int, _setting("series of all devices together; new ones are refused beyond; 0: any", ge=0)
    ] = 1_000_000
    devices_max: Annotated[
        int, _setting("devices altogether; new ones are refused beyond; 0: any", ge=0)
    ] = 1_000_000
    server_memory_bytes: Annotated[
        int, _setting("maxmemory of the embedded server; 0: half of the memory", "bytes", ge=0)
    ] = 0
    live_listeners_max: Annotated[
        int, _setting("listeners of live updates in one HTTP process", "listeners", ge=1)
    ] = 2_000
    record_url: Annotated[
        str,
        _setting(
            "where senders reach POST /record, if not where the dashboard is; it shows it", "URL"
        ),
    ] = ""
    redis_timeout_ms: Annotated[
        int, _setting("how long a request waits for Redis", "ms", ge=10)
    ] = 2_000
    heartbeat_ms: Annotated[
        int, _setting("between two heartbeats of an aggregator", "ms", ge=20)
    ] = 500
    read_max_entries: Annotated[
        int,
        _setting(
            "entries an aggregator reads from a partition at once", "entries", ge=1, le=100_000
        ),
    ] = 1_000
    series_cached_max: Annotated[
        int, _setting("series an aggregator keeps in memory", "series", ge=1000)
    ] = 100_000
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], _setting("least severe line that is logged")
    ] = "INFO"
    log_format: Annotated[
        Literal["text", "json"], _setting("shape of a log line on standard error")
    ] = "text"

    fail: Annotated[
        str, _setting("fault point at which the process kills itself; for tests", "point[:n]")
    ] = ""

    @property
    def parsed_windows(self) -> tuple[Window, ...]:
        """`windows`, parsed; valid because `load` has checked it."""
        return parse_windows(self.windows)


def load(
    environ: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Settings from the environment, overridden by command-line options that are not None.

    Raises:
        Misconfigured: naming every faulty or unknown setting at once.
    """
    environ = os.environ if environ is None else environ
    given: dict[str, Any] = {}
    faults: list[str] = []
    for name, text in environ.items():
        if name.startswith(PREFIX) and name != TOKEN_VARIABLE:
            field = name.removeprefix(PREFIX).lower()
            if field in Settings.__struct_fields__:
                given[field] = text
            else:
                faults.append(_unknown(name))
    given.update({k: v for k, v in (overrides or {}).items() if v is not None})
    values = {}
    for field, value in given.items():
        try:
            values[field] = _validated(field, value)
        except (msgspec.ValidationError, ValueError, Misconfigured) as error:
            faults.append(f"{PREFIX}{field.upper()}={value!r}: {_plain(error)}")
    if faults:
        raise Misconfigured("settings: " + "; ".join(sorted(faults)))
    settings = Settings(**values)
    if settings.in_flight_max_bytes < _LARGEST_BODIES_MIN * settings.body_max_bytes:
        raise Misconfigured(
            f"settings: {PREFIX}IN_FLIGHT_MAX_BYTES={settings.in_flight_max_bytes} leaves no room "
            f"for bodies of {PREFIX}BODY_MAX_BYTES={settings.body_max_bytes}; "
            f"make it at least {_LARGEST_BODIES_MIN} times as large"
        )
    return settings


def table() -> list[tuple[str, Any, str, str]]:
    """(name, default, unit, meaning) of every setting, in the order of the table."""
    fields = msgspec.structs.fields(Settings)
    return [(field.name, field.default, *_described(field.type)) for field in fields]


def base_type(name: str) -> Any:
    """The plain type of a setting: str, int or a Literal."""
    annotation = next(f.type for f in msgspec.structs.fields(Settings) if f.name == name)
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _described(annotation: Any) -> tuple[str, str]:
    meta = get_args(annotation)[1]
    return meta.extra["unit"], meta.description


def _validated(field: str, value: Any) -> Any:
    annotation = next(f.type for f in msgspec.structs.fields(Settings) if f.name == field)
    converted = msgspec.convert(value, annotation, strict=False)
    check = _CHECKS.get(field)
    if check is not None:
        check(converted)
    return converted


def _unknown(name: str) -> str:
    known = [TOKEN_VARIABLE, *(PREFIX + f.upper() for f in Settings.__struct_fields__)]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0)
    return f"{name} is not a setting (did you mean {near[0]}?)"


def _plain(error: Exception) -> str:
    return str(error).split(" - at ")[0]
