"""Every Redis key. Redis has no schema, so this catalogue is the schema.

The keys of a partition have the hash tag `{p}`: they are in one Redis Cluster slot, so one
script can change all of them atomically.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

GROUP = "aggregator"
WORKERS = "tributary:workers"
CONFIG = "tributary:config"
TOKENS = "tributary:tokens"
TOKEN_USE = "tributary:token_use"  # noqa: S105 - a key, not a secret
REFUSALS = "tributary:refusals"
IGNORED = "tributary:ignored"
BRIDGES = "tributary:bridges"
MESSAGES = "tributary:messages"
EXPORTS = "tributary:exports"


class Key(NamedTuple):
    """One kind of key."""

    pattern: str
    type: str
    written_by: str
    read_by: str
    holds: str
    lifetime: str = "permanent"


CATALOGUE = (
    Key(
        "tributary:{p}:readings", "stream", "ingest (append), operators (forget)", "aggregator, jobs",
        "frames: sequence numbers `e` (entries) and `n` (readings), packed readings `r`; tombstones: "
        "`f` instead of `r`, the devices to forget",
        "permanent, capped by MAXLEN ~",
    ),
    Key(
        "tributary:{p}:meta", "hash", "ingest (append, report_tail), aggregator (commit)", "all",
        "`entries`, `accepted` (sequence numbers of append); `epoch`, `hwm` and the counts of commit; "
        "`progress`: id of an entry too large for one commit, and how many of its readings are "
        "applied; `begun`, `begun_entry`: how many are not, and its number; `attempt`: first "
        "entry, entries, number and worker of an attempt to apply entries alone; "
        "`replayed`, `replayed_entries`; `run` (run id of the server), `tail_entries`, `tail` "
        "(numbers that survived its start or were reported since), `restart_lost`, "
        "`restart_lost_entries`; `forgets`: how many tombstones were applied",
    ),
    Key(
        "tributary:{p}:latest", "hash", "aggregator (commit)", "api",
        "device → JSON, the response of /collect without age and stale flag",
    ),
    Key(
        "tributary:{p}:devices", "sorted set", "aggregator (commit)", "api",
        "devices in alphabetical order, every score 0",
    ),
    Key(
        "tributary:{p}:state", "hash", "aggregator (commit)", "aggregator, api",
        "series → packed totals, newest readings, open slot of each window",
    ),
    Key(
        "tributary:{p}:windows", "hash", "aggregator (commit)", "aggregator, api",
        "series → packed closed slots of each window",
    ),
    Key(
        "tributary:{p}:dead", "stream", "aggregator (commit)", "operators",
        "entries that cannot be applied: reason, original id, readings counted as dead, fields",
        "permanent, capped by MAXLEN ~",
    ),
    Key(
        "tributary:{p}:forgets", "hash", "operators (forget), aggregator (commit), jobs", "jobs",
        "id of a tombstone in the stream → its stage, the id of the request, and the devices until "
        "nothing else names them",
        "until the devices are gone from every file",
    ),
    Key(
        "tributary:{p}:once:<key>", "string", "ingest (append)", "ingest (append)",
        "digest of the body, then the response to the request with this Idempotency-Key",
        "11 minutes, longer than the claim",
    ),
    Key(
        "tributary:{p}:claim:<key>", "string", "ingest", "ingest",
        "digest of the body that has claimed this Idempotency-Key; `p` follows from the key",
        "10 minutes",
    ),
    Key(
        TOKENS, "hash", "operators", "ingest, api",
        "SHA-256 of a token → device pattern, scopes, expiry; `version` changes with each change",
    ),
    Key(
        TOKEN_USE, "hash", "ingest, operators", "ingest",
        "token id with `:series` or `:devices` → how many were first recorded with it; only for "
        "tokens with a cap",
        "until the token is revoked",
    ),
    Key(REFUSALS, "hash", "ingest, api", "all", "error code → number of requests rejected with it"),
    Key(IGNORED, "hash", "ingest", "all", "door → number of values left out because they are text"),
    Key(
        WORKERS, "sorted set", "aggregator", "all",
        "aggregator id → time of its last heartbeat, UTC ms of the server",
        "permanent; members are removed a minute after their last heartbeat",
    ),
    Key(
        BRIDGES, "sorted set", "mqtt", "all",
        "client id of an MQTT bridge → time of its last heartbeat while it is subscribed and "
        "connected to Redis, UTC ms of the server",
        "permanent; members are removed a minute after their last heartbeat",
    ),
    Key(
        MESSAGES, "hash", "mqtt", "all",
        "number of MQTT messages `received`, `stored`, `duplicate`, `retried`, and `ignored:…` and "
        "`refused:…` with the reason",
    ),
    Key(
        EXPORTS, "hash", "api, jobs", "api, jobs",
        "id of an export → what it contains, the id of its token, the secret of its link, expiry; "
        "id with `:state` → its progress, file or error",
        "until it expires or is deleted",
    ),
    Key(
        CONFIG, "hash", "the first process to start", "all",
        "settings that cannot change once data exists: partitions, windows, average_over, format",
    ),
)  # fmt: skip


def partition_of(device: str, partitions: int) -> int:
    """The partition of a device, 0 … partitions - 1; it never changes."""
    return zlib.crc32(device.encode()) % partitions


def _of_partition(name: str) -> Callable[[int], str]:
    @cache
    def key(partition: int) -> str:
        return f"tributary:{{{partition}}}:{name}"

    return key


# Partition → key; the catalogue describes each.
readings = _of_partition("readings")
meta = _of_partition("meta")
latest = _of_partition("latest")
devices = _of_partition("devices")
state = _of_partition("state")
windows = _of_partition("windows")
dead = _of_partition("dead")
forgets = _of_partition("forgets")


def once(partition: int, key: str) -> str:
    """Key of the response to the request with this Idempotency-Key."""
    return f"tributary:{{{partition}}}:once:{key}"


def claim(partition: int, key: str) -> str:
    """Key of the digest of the body that has claimed this Idempotency-Key."""
    return f"tributary:{{{partition}}}:claim:{key}"


def series(device: str, metric: str) -> str:
    """Field of a series in `state` and `windows`; a device name cannot contain `|`."""
    return f"{device}|{metric}"
