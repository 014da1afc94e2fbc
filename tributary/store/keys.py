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


class Key(NamedTuple):
    """One kind of key."""

    pattern: str
    type: str
    holds: str
    written_by: str
    read_by: str
    lifetime: str


CATALOGUE = (
    Key(
        "tributary:{p}:readings",
        "stream",
        "frames: sequence numbers `e` (entries) and `n` (readings), packed readings `r`",
        "ingest (append)",
        "aggregator",
        "permanent, capped by MAXLEN ~",
    ),
    Key(
        "tributary:{p}:meta",
        "hash",
        "`entries`, `accepted` (sequence numbers of append); `epoch`, `hwm` and the counts of commit; "
        "`progress`: id of an entry too large for one commit, and how many of its readings are "
        "applied; `begun`, `begun_entry`: how many are not, and its number; `attempt`: first "
        "entry, entries, number and worker of an attempt to apply entries alone; "
        "`replayed`, `replayed_entries`; `run` (run id of the server), `tail_entries`, `tail` "
        "(numbers that survived its start or were reported since), `restart_lost`, "
        "`restart_lost_entries`",
        "ingest (append, report_tail), aggregator (commit)",
        "all",
        "permanent",
    ),
    Key(
        "tributary:{p}:latest",
        "hash",
        "device → JSON, the response of /collect without age and stale flag",
        "aggregator (commit)",
        "api",
        "permanent",
    ),
    Key(
        "tributary:{p}:devices",
        "sorted set",
        "devices in alphabetical order, every score 0",
        "aggregator (commit)",
        "api",
        "permanent",
    ),
    Key(
        "tributary:{p}:state",
        "hash",
        "series → packed totals, newest readings, open slot of each window",
        "aggregator (commit)",
        "aggregator, api",
        "permanent",
    ),
    Key(
        "tributary:{p}:windows",
        "hash",
        "series → packed closed slots of each window",
        "aggregator (commit)",
        "aggregator, api",
        "permanent",
    ),
    Key(
        "tributary:{p}:dead",
        "stream",
        "entries that cannot be applied: reason, original id, readings counted as dead, fields",
        "aggregator (commit)",
        "operators",
        "permanent, capped by MAXLEN ~",
    ),
    Key(
        "tributary:{p}:once:<key>",
        "string",
        "digest of the body, then the response to the request with this Idempotency-Key",
        "ingest (append)",
        "ingest (append)",
        "11 minutes, longer than the claim",
    ),
    Key(
        "tributary:{p}:claim:<key>",
        "string",
        "digest of the body that has claimed this Idempotency-Key; `p` follows from the key",
        "ingest",
        "ingest",
        "10 minutes",
    ),
    Key(
        TOKENS,
        "hash",
        "SHA-256 of a token → device pattern, scopes, expiry; `version` changes with each change",
        "operators",
        "ingest, api",
        "permanent",
    ),
    Key(
        TOKEN_USE,
        "hash",
        "token id with `:series` or `:devices` → how many were first recorded with it; only for "
        "tokens with a cap",
        "ingest, operators",
        "ingest",
        "until the token is revoked",
    ),
    Key(
        REFUSALS,
        "hash",
        "error code → number of requests rejected with it",
        "ingest, api",
        "all",
        "permanent",
    ),
    Key(
        WORKERS,
        "sorted set",
        "aggregator id → time of its last heartbeat, UTC ms of the server",
        "aggregator",
        "all",
        "permanent; members are removed a minute after their last heartbeat",
    ),
    Key(
        CONFIG,
        "hash",
        "settings that cannot change once data exists: partitions, windows, average_over, format",
        "the first process to start",
        "all",
        "permanent",
    ),
)


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


def once(partition: int, key: str) -> str:
    """Key of the response to the request with this Idempotency-Key."""
    return f"tributary:{{{partition}}}:once:{key}"


def claim(partition: int, key: str) -> str:
    """Key of the digest of the body that has claimed this Idempotency-Key."""
    return f"tributary:{{{partition}}}:claim:{key}"


def series(device: str, metric: str) -> str:
    """Field of a series in `state` and `windows`; a device name cannot contain `|`."""
    return f"{device}|{metric}"
