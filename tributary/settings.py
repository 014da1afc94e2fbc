"""The table of settings: name, default, unit and meaning; read once, validated together.

A setting is the environment variable `TRIBUTARY_<NAME>` and, on the command line, the option
of the same name. Nothing reads the environment at import.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from tributary.auth import browsers, cors
from tributary.errors import Misconfigured, did_you_mean
from tributary.history import url as history_url
from tributary.model import alert_target, catalogue, reading
from tributary.model.window import Window, parse_duration_ms, parse_windows
from tributary.store import redis_url

PREFIX = "TRIBUTARY_"
# The token of client commands; no role reads it.
TOKEN_VARIABLE = f"{PREFIX}TOKEN"
# Checks beyond the type; each raises an error that describes the problem.
_CHECKS: dict[str, Callable[[str], object]] = {
    "redis_url": redis_url.check,
    "jobs_url": redis_url.check,
    "windows": parse_windows,
    "forget_after": lambda text: text and parse_duration_ms(text),
    "oldest_time": reading.time_ms,
    "metrics_file": catalogue.load,
    "cors_origins": cors.parse_origins,
    "dashboard_url": lambda text: text and cors.checked_origin(text),
    "public_hosts": browsers.parse_hosts,
    "alert_webhooks": alert_target.hooks,
    "alert_webhook_secret": alert_target.secrets,
    "alert_webhook_allow": alert_target.allowed,
    "alert_mail_to": alert_target.addresses,
    "alert_mail_from": alert_target.addresses,
    "smtp_url": lambda text: text and alert_target.relay(text),
    "alert_retry_for": parse_duration_ms,
    "history_url": history_url.check,
    "history_keep_minutes": lambda text: text and parse_duration_ms(text),
    "history_keep_hours": lambda text: text and parse_duration_ms(text),
    "history_keep_days": lambda text: text and parse_duration_ms(text),
}
_LOGIN = re.compile("://.*@")  # of a URL; no message contains it
_SECRET = ("alert_webhooks", "alert_webhook_secret")  # no message contains these at all
_LARGEST_BODIES_MIN = 8  # half of the budget is for incomplete bodies; chunked ones take twice
PARTITIONS = 4  # of new data
# Unless `stream_max_entries` is given: of all streams together, and of one at the least.
_STREAMS_MAX_ENTRIES, _STREAM_MAX_ENTRIES_MIN = 1_600_000, 100_000


def _setting(meaning: str, unit: str = "", *, is_list: bool = False, **limits: Any) -> Meta:
    return Meta(description=meaning, extra={"unit": unit, "is_list": is_list}, **limits)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of all roles."""

    redis_url: Annotated[
        str,
        _setting(
            "address of Redis or Valkey: redis://, rediss:// or unix://; for a cluster, list "
            "several nodes: redis://host1:port,host2:port/0; with Sentinel, list the sentinels and "
            "the name of the master: redis+sentinel://host1:26379,host2:26379/NAME/0",
            "URL",
            min_length=1,
        ),
    ] = "redis://127.0.0.1:6379/0"
    host: Annotated[str, _setting("address that the HTTP server listens on", min_length=1)] = (
        "127.0.0.1"
    )
    port: Annotated[int, _setting("port of the HTTP server", ge=0, le=65535)] = 8000
    data_dir: Annotated[
        str, _setting("data directory of the embedded server", "path", min_length=1)
    ] = "data"
    server_binary: Annotated[
        str, _setting("program to run as the embedded server; empty: the bundled Valkey")
    ] = ""
    open: Annotated[
        bool, _setting("serve other machines without tokens; anyone can then read and write")
    ] = False
    ingest_workers: Annotated[int, _setting("HTTP worker processes", "processes", ge=1, le=256)] = 1
    http_threads: Annotated[
        int, _setting("threads per HTTP worker process", "threads", ge=1, le=1024)
    ] = 8
    aggregators: Annotated[
        int, _setting("aggregator processes that `up` starts", "processes", ge=0, le=256)
    ] = 1
    partitions: Annotated[
        int,
        _setting(
            "streams that the devices are spread over; fixed once data exists, and then read from "
            "Redis",
            ge=1,
            le=4096,
        ),
    ] = PARTITIONS
    stream_max_entries: Annotated[
        int,
        _setting(
            "maximum length of the stream of a partition; by default, those of all partitions "
            f"together may have {_STREAMS_MAX_ENTRIES:,}, and each at least "
            f"{_STREAM_MAX_ENTRIES_MIN:,}",
            "entries",
            ge=100,
        ),
    ] = _STREAMS_MAX_ENTRIES // PARTITIONS
    overflow: Annotated[
        Literal["refuse", "trim"],
        _setting("at 90 % of the maximum unread: reject with 503, or drop the oldest"),
    ] = "refuse"
    durability: Annotated[
        Literal["memory", "aof", "fsync", "replicated"],
        _setting("what Redis must guarantee before a 200; checked against its own settings"),
    ] = "aof"
    wait_replicas: Annotated[
        int,
        _setting(
            "replicas that must have a reading before a 200 at durability=replicated; with fewer "
            "than there are, a failover to another one may lose it",
            "replicas",
            ge=1,
            le=16,
        ),
    ] = 1
    idempotency_ttl_ms: Annotated[
        int, _setting("how long an Idempotency-Key is kept", "ms", ge=1000)
    ] = 600_000
    rate_per_device: Annotated[
        float, _setting("limit per device and HTTP process; 0: unlimited", "readings/s", ge=0)
    ] = 0.0
    rate_per_token: Annotated[
        float, _setting("limit per token and HTTP process; 0: unlimited", "readings/s", ge=0)
    ] = 0.0
    new_series_per_second: Annotated[
        float,
        _setting(
            "limit of series never seen before, per token and HTTP process; 0: unlimited",
            "series/s",
            ge=0,
        ),
    ] = 30_000.0
    lane: Annotated[
        bool, _setting("serve /record and /collect on the event loop; off: Flask on threads")
    ] = True
    average_over: Annotated[
        int,
        _setting(
            "number of newest readings in the average; fixed once data exists",
            "readings",
            ge=1,
            le=100,
        ),
    ] = 10
    windows: Annotated[
        str,
        _setting("sliding windows and their slots; fixed once data exists", "length/slot,…"),
    ] = "1m/5s,15m/1m,1h/5m,24h/1h"
    stale_after_ms: Annotated[int, _setting("age at which a value is stale", "ms", ge=1)] = 10_000
    metrics_file: Annotated[
        str,
        _setting("catalogue of metrics, TOML; empty: the bundled one", "path"),
    ] = ""
    implausible: Annotated[
        Literal["flag", "refuse"],
        _setting("store and mark, or reject, a reading outside the plausible range of its metric"),
    ] = "flag"
    cors_origins: Annotated[
        str,
        _setting("origins of web pages that may read responses (CORS); empty: none", "origin,…"),
    ] = ""
    public_hosts: Annotated[
        str,
        _setting(
            "host names of this server; checked only where no token is required; IP addresses "
            "and localhost are always accepted",
            "name,…",
        ),
    ] = ""
    oldest_time: Annotated[
        str,
        _setting("earliest time of a reading, RFC 3339; an earlier one is rejected", "time"),
    ] = "2000-01-01T00:00:00Z"
    future_max_ms: Annotated[
        int, _setting("how far ahead of the server's clock a reading may be", "ms", ge=0)
    ] = 300_000
    body_max_bytes: Annotated[
        int, _setting("maximum size of a request body", "bytes", ge=1024, le=512 * 1024 * 1024)
    ] = 1_048_576
    batch_max_readings: Annotated[
        int, _setting("maximum number of readings in a request", "readings", ge=1)
    ] = 10_000
    in_flight_max_bytes: Annotated[
        int, _setting("total size of the request bodies in an HTTP process", "bytes", ge=1_048_576)
    ] = 67_108_864
    connections_max: Annotated[
        int, _setting("maximum number of connections of an HTTP process", "connections", ge=1)
    ] = 10_000
    idle_timeout_ms: Annotated[
        int, _setting("how long a connection may be idle between requests", "ms", ge=100)
    ] = 75_000
    head_timeout_ms: Annotated[
        int, _setting("timeout for receiving the header of a request", "ms", ge=100)
    ] = 10_000
    body_timeout_ms: Annotated[
        int, _setting("timeout for receiving a body, and for sending a response", "ms", ge=100)
    ] = 30_000
    live_listeners_per_token: Annotated[
        int, _setting("maximum number of them with one token", "listeners", ge=1)
    ] = 1_000
    live_listeners_per_address: Annotated[
        int,
        _setting(
            "maximum number of them from one address; behind a proxy all have its address",
            "listeners",
            ge=1,
        ),
    ] = 1_000
    series_max: Annotated[
        int,
        _setting("maximum number of series; beyond it, new ones are rejected; 0: unlimited", ge=0),
    ] = 1_000_000
    devices_max: Annotated[
        int,
        _setting("maximum number of devices; beyond it, new ones are rejected; 0: unlimited", ge=0),
    ] = 1_000_000
    server_memory_bytes: Annotated[
        int, _setting("maxmemory of the embedded server; 0: half of the RAM", "bytes", ge=0)
    ] = 0
    live_listeners_max: Annotated[
        int,
        _setting("maximum number of listeners to live updates per HTTP process", "listeners", ge=1),
    ] = 2_000
    record_url: Annotated[
        str,
        _setting("address of POST /record that the dashboard shows, if it is not its own", "URL"),
    ] = ""
    dashboard_url: Annotated[
        str,
        _setting(
            "address of the dashboard for other devices, in QR codes; default of `up`: the address "
            "of this machine in its network",
            "URL",
        ),
    ] = ""
    redis_timeout_ms: Annotated[int, _setting("timeout of a command to Redis", "ms", ge=10)] = 2_000
    heartbeat_ms: Annotated[
        int, _setting("interval between the heartbeats of an aggregator", "ms", ge=20)
    ] = 500
    read_max_entries: Annotated[
        int,
        _setting(
            "maximum number of entries that an aggregator reads at once",
            "entries",
            ge=1,
            le=100_000,
        ),
    ] = 1_000
    series_cached_max: Annotated[
        int, _setting("series that an aggregator keeps in memory", "series", ge=1000)
    ] = 100_000
    mqtt_broker: Annotated[
        str,
        _setting(
            "MQTT broker to bridge: mqtt://user:password@host:port, also mqtts, ws and wss", "URL"
        ),
    ] = ""
    mqtt_topic: Annotated[
        str,
        _setting(
            "topic filters to subscribe to; empty: those of the mapping file",
            "filter,…",
            is_list=True,
        ),
    ] = ""
    mqtt_mapping: Annotated[
        str, _setting("what the messages of a topic mean, TOML; empty: the usual topics", "path")
    ] = ""
    mqtt_share: Annotated[
        str, _setting("group of bridges that divide the messages among them; empty: none")
    ] = ""
    mqtt_client_id: Annotated[
        str,
        _setting(
            "name of the session with the broker, unique per bridge and the same after a restart; "
            "empty: tributary- and the host name",
            max_length=65_535,
        ),
    ] = ""
    mqtt_timezone: Annotated[
        str,
        _setting(
            "zone of times of Tasmota, which state none, as Europe/Berlin; empty: such readings "
            "get their time of arrival"
        ),
    ] = ""
    mqtt_in_flight_max: Annotated[
        int,
        _setting("maximum number of messages not acknowledged", "messages", ge=1, le=65_535),
    ] = 1_000
    mqtt_session_expiry_s: Annotated[
        int,
        _setting(
            "how long the broker keeps messages for a bridge that is away", "s", ge=60, le=2**32 - 1
        ),
    ] = 604_800
    history: Annotated[
        Literal["on", "off", "required"],
        _setting(
            "keep the statistics of every minute in a database; required: entries that are not "
            "in it yet count as backlog"
        ),
    ] = "on"
    history_url: Annotated[
        str,
        _setting(
            "database of the history: postgresql://user:password@host/name; empty: SQLite in the "
            "data directory",
            "URL",
        ),
    ] = ""
    history_timeout_ms: Annotated[
        int,
        _setting("timeout of a statement of the history, and of waiting for a lock", "ms", ge=100),
    ] = 30_000
    history_keep_minutes: Annotated[
        str, _setting("how long the statistics of minutes are kept; empty: permanently", "duration")
    ] = "30d"
    history_keep_hours: Annotated[
        str, _setting("how long the statistics of hours are kept; empty: permanently", "duration")
    ] = "730d"
    history_keep_days: Annotated[
        str, _setting("how long the statistics of days are kept; empty: permanently", "duration")
    ] = ""
    raw_dir: Annotated[
        str, _setting("directory for every reading, as Parquet files; empty: none", "path")
    ] = ""
    export_dir: Annotated[
        str,
        _setting(
            "directory of the files of exports, shared by api and jobs; empty: exports in the "
            "data directory",
            "path",
        ),
    ] = ""
    export_ttl_s: Annotated[
        int,
        _setting("how long an export, its file and its link are kept", "s", ge=60, le=31_536_000),
    ] = 86_400
    export_max_rows: Annotated[
        int, _setting("maximum number of rows of an export over HTTP", "rows", ge=1)
    ] = 10_000_000
    export_max_bytes: Annotated[
        int, _setting("maximum size of all files of exports", "bytes", ge=1)
    ] = 10_737_418_240
    forget_after: Annotated[
        str,
        _setting(
            "age of the newest reading of a device after which everything about the device is "
            "deleted, as 90d; empty: never",
            "duration",
        ),
    ] = ""
    jobs_url: Annotated[
        str,
        _setting("Redis for the queue of jobs, which cannot be a cluster; empty: redis_url", "URL"),
    ] = ""
    jobs_workers: Annotated[
        int,
        _setting(
            "processes that run jobs, per process of jobs; 0: none, and `up` starts no jobs",
            "processes",
            ge=0,
            le=64,
        ),
    ] = 1
    alert_webhooks: Annotated[
        str,
        _setting("URLs that transitions of alerts are posted to", "URL,…", is_list=True),
    ] = ""
    alert_webhook_secret: Annotated[
        str,
        _setting(
            "secrets that sign the webhooks, whsec_ and Base64; several while one is replaced"
        ),
    ] = ""
    alert_webhook_allow: Annotated[
        str,
        _setting(
            "hosts, addresses and networks of webhooks that may be private and need no https",
            "name,…",
        ),
    ] = ""
    alert_mail_to: Annotated[
        str, _setting("addresses that transitions of alerts are sent to by e-mail", "address,…")
    ] = ""
    alert_mail_from: Annotated[str, _setting("sender of these e-mails", "address")] = ""
    smtp_url: Annotated[
        str,
        _setting(
            "mail server: smtp://host, smtp+starttls://user:password@host:587 or smtps://…", "URL"
        ),
    ] = ""
    alert_retry_for: Annotated[
        str, _setting("how long the delivery of a transition is tried", "duration")
    ] = "1d"
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], _setting("minimum level of log lines")
    ] = "INFO"
    log_format: Annotated[
        Literal["text", "json"], _setting("format of log lines on standard error")
    ] = "text"

    fail: Annotated[
        str, _setting("failpoint at which the process kills itself; for tests", "point[:n]")
    ] = ""

    @property
    def parsed_windows(self) -> tuple[Window, ...]:
        """`windows`, parsed; `load` has checked them."""
        return parse_windows(self.windows)


_FIELDS = {field.name: field for field in msgspec.structs.fields(Settings)}
_OF_DATA = ("partitions", "stream_max_entries")  # their defaults depend on the data


def load(
    environ: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Read settings from the environment; overrides that are not None take precedence.

    Without a value, `partitions` and `stream_max_entries` are 0, since they depend on the data:
    `of_data` replaces them.

    Raises:
        Misconfigured: listing every invalid or unknown setting.
    """
    environ = os.environ if environ is None else environ
    given: dict[str, Any] = {}
    problems: list[str] = []
    for name, text in environ.items():
        if name.startswith(PREFIX) and name != TOKEN_VARIABLE:
            field = name.removeprefix(PREFIX).lower()
            if field in _FIELDS:
                given[field] = text
            else:
                problems.append(_unknown(name))
    given.update({k: v for k, v in (overrides or {}).items() if v is not None})
    values: dict[str, Any] = dict.fromkeys(_OF_DATA, 0)
    for field, value in given.items():
        try:
            values[field] = _validated(field, value)
        except (msgspec.ValidationError, ValueError, Misconfigured) as error:
            problems.append(f"{PREFIX}{field.upper()}={_shown(field, value)!r}: {_plain(error)}")
    if problems:
        raise Misconfigured("settings: " + "; ".join(sorted(problems)))
    settings = Settings(**values)
    _check_together(settings)
    return settings


def of_data(settings: Settings, partitions: int | None) -> Settings:
    """The settings for data with this number of partitions; None: for new data.

    What was given stays, even if it contradicts the data.
    """
    count = settings.partitions or partitions or PARTITIONS
    entries = max(_STREAM_MAX_ENTRIES_MIN, _STREAMS_MAX_ENTRIES // count)
    return msgspec.structs.replace(
        settings, partitions=count, stream_max_entries=settings.stream_max_entries or entries
    )


def _shown(field: str, value: Any) -> Any:
    """A value as it may be shown."""
    if field in _SECRET:
        return "***"
    if not isinstance(value, str):
        return value
    return _LOGIN.sub("://***@", redis_url.without_passwords(value))


def _check_together(settings: Settings) -> None:
    """Raise if settings that are valid alone contradict each other."""
    if settings.alert_webhooks and not settings.alert_webhook_secret:
        raise Misconfigured(
            f"settings: {PREFIX}ALERT_WEBHOOKS without {PREFIX}ALERT_WEBHOOK_SECRET, which signs "
            "them; create one with `python3 -c \"import base64, secrets; print('whsec_' + "
            'base64.b64encode(secrets.token_bytes(32)).decode())"`'
        )
    if settings.alert_mail_to and not (settings.alert_mail_from and settings.smtp_url):
        raise Misconfigured(
            f"settings: {PREFIX}ALERT_MAIL_TO needs {PREFIX}ALERT_MAIL_FROM and {PREFIX}SMTP_URL"
        )
    if settings.history == "required" and settings.overflow == "trim":
        raise Misconfigured(
            f"settings: {PREFIX}HISTORY=required and {PREFIX}OVERFLOW=trim contradict each other: "
            "one rejects readings before an entry is dropped, the other drops entries; use "
            f"{PREFIX}OVERFLOW=refuse, or {PREFIX}HISTORY=on"
        )
    if settings.in_flight_max_bytes < _LARGEST_BODIES_MIN * settings.body_max_bytes:
        raise Misconfigured(
            f"settings: {PREFIX}IN_FLIGHT_MAX_BYTES={settings.in_flight_max_bytes} is too small "
            f"for bodies of {PREFIX}BODY_MAX_BYTES={settings.body_max_bytes}; "
            f"make it at least {_LARGEST_BODIES_MIN} times as large"
        )


def table() -> list[tuple[str, Any, str, str]]:
    """(name, default, unit, meaning) of every setting, in the order of the table."""
    metas = [(field, get_args(field.type)[1]) for field in _FIELDS.values()]
    return [(f.name, f.default, meta.extra["unit"], meta.description) for f, meta in metas]


def is_list(name: str) -> bool:
    """Whether a setting is a list with commas, and its option may be repeated."""
    return bool(get_args(_FIELDS[name].type)[1].extra["is_list"])


def base_type(name: str) -> Any:
    """The plain type of a setting: str, int or a Literal."""
    return get_args(_FIELDS[name].type)[0]


def _validated(name: str, value: Any) -> Any:
    converted = msgspec.convert(value, _FIELDS[name].type, strict=False)
    if name in _CHECKS:
        _CHECKS[name](converted)
    return converted


def _unknown(name: str) -> str:
    known = [TOKEN_VARIABLE, *(PREFIX + field.upper() for field in _FIELDS)]
    return f"{name} is not a setting ({did_you_mean(name, known)})"


def _plain(error: Exception) -> str:
    return str(error).split(" - at ")[0]
