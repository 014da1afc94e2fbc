"""Every Redis key. Redis has no schema, so this catalogue is the schema.

The keys of a partition have the hash tag `{p}`: they are in one Redis Cluster slot, so one
script can change all of them atomically.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

GROUP = "aggregators"
CONSUMER = "owner"  # of every aggregator: nothing is pending, so none leaves anything behind
FORMER_GROUP = "aggregator"  # of releases that acknowledged entries
WORKERS = "tributary:workers"
CONFIG = "tributary:config"
TOKENS = "tributary:tokens"
TOKEN_USE = "tributary:token_use"  # noqa: S105 - a key, not a secret
REFUSALS = "tributary:refusals"
REQUESTS = "tributary:requests"
TIMINGS = "tributary:timings"
JOB_RUNS = "tributary:job_runs"
IGNORED = "tributary:ignored"
BRIDGES = "tributary:bridges"
MESSAGES = "tributary:messages"
EXPORTS = "tributary:exports"
JOBS = "tributary:jobs"
SCHEDULE = "tributary:schedule"
ALERT_SENDER = "tributary:alert_sender"
ALERT_DESTINATIONS = "tributary:alert_destinations"
ALERT_DELIVERIES = "tributary:alert_deliveries"
SCHEDULER = "tributary:scheduler"
# The queue of jobs; rq chooses the names of its keys.
QUEUE = "tributary"
QUEUED = f"rq:queue:{QUEUE}"
TAKEN = f"{QUEUED}:intermediate"
STARTED = f"rq:wip:{QUEUE}"
SCHEDULED = f"rq:scheduled:{QUEUE}"
FAILED = f"rq:failed:{QUEUE}"
FINISHED = f"rq:finished:{QUEUE}"
QUEUES = "rq:queues"


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
        "frames: sequence numbers `e` (entries) and `n` (readings), packed readings `r`, of which a "
        "seal verifies every bit ([decision 16](decisions/0016-frames-are-sealed.md)); tombstones: "
        "`f` instead of `r`, the devices to forget",
        "permanent, capped by MAXLEN ~",
    ),
    Key(
        "tributary:{p}:meta", "hash", "ingest (append, report_tail), aggregator (commit), jobs", "all",
        "`entries`, `accepted` (sequence numbers of append); `epoch`, `hwm` and the counts of commit; "
        "`progress`: id of an entry too large for one commit, and how many of its readings are "
        "applied; `begun`, `begun_entry`: how many are not, and its number; `attempt`: first "
        "entry, entries, number and worker of an attempt to apply entries alone; "
        "`replayed`, `replayed_entries`; `run` (run id of the server), `tail_entries`, `tail` "
        "(numbers that survived its start or were reported since), `restart_lost`, "
        "`restart_lost_entries`; `forgets`: how many tombstones were applied; `state_rows`, "
        "`ring_rows`, `short_rows`: how many rows have been numbered; `transitions`: number of the last one; "
        "`alert_rules`: digest of the rules that every series was compared with; `windows_since:` with "
        "a metric: when a series of it got windows last, because `keep` had changed, UTC ms; "
        "`rings_freed_ms`: slots that begin earlier may be gone, UTC; from jobs: `left_out:` with a "
        "metric: the last entry that is not in the history because of its `keep`; `archived_id`, `archived_entries` (last entry in the "
        "history, and its number), `gaps`, `gap_entries`, `gap_readings` of the history",
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
        "tributary:{p}:rows", "hash", "aggregator (commit)", "all",
        "series → its row of state, and behind a comma its row of rings once a slot has closed; "
        "with `s` before it, its short row",
    ),
    Key(
        "tributary:{p}:state:<key>", "string", "aggregator (commit)", "aggregator, api, jobs, operators",
        "a chunk of rows of state: newest readings, totals, open slot of each window; see "
        "`tributary/model/rows.py`",
    ),
    Key(
        "tributary:{p}:rings:<key>", "string", "aggregator (commit)", "aggregator, api, jobs, operators",
        "a chunk of rows of rings: the closed slots of each window",
    ),
    Key(
        "tributary:{p}:short:<key>", "string", "aggregator (commit)", "aggregator, api, jobs, operators",
        'a chunk of short rows, of metrics with `keep = "latest"`: newest readings, totals',
    ),
    Key(
        "tributary:{p}:beyond", "hash", "aggregator (commit)", "aggregator, api, jobs, operators",
        "series → packed closed slots for which its rings have no cell",
        "until no window includes them",
    ),
    Key(
        "tributary:{p}:counters", "hash", "aggregator (commit)", "aggregator, api, jobs, operators",
        "series → packed increase of each slot, of metrics that are counters; see "
        "`tributary/model/counter.py`",
    ),
    Key(
        "tributary:{p}:quantiles", "hash", "aggregator (commit)", "aggregator, api, jobs, operators",
        "series → packed quantiles of each slot, and values of the open one, of metrics that have "
        "quantiles; see `tributary/model/quantiles.py`",
    ),
    Key(
        "tributary:{p}:free", "list", "aggregator (commit)", "aggregator",
        "rows of state that no series has any more, with their rings, as in `rows`",
        "until they are used again",
    ),
    Key(
        "tributary:{p}:free_rings", "list", "aggregator (commit)", "aggregator",
        "rows of rings of series that have been silent for longer than every window",
        "until they are used again",
    ),
    Key(
        "tributary:{p}:free_short", "list", "aggregator (commit)", "aggregator",
        "short rows that no series has any more",
        "until they are used again",
    ),
    Key(
        "tributary:{p}:alerts", "hash", "aggregator (commit)", "aggregator, api, operators",
        "series → JSON: the states of its alerts other than ok, by rule",
    ),
    Key(
        "tributary:{p}:due", "sorted set", "aggregator (commit)", "aggregator",
        "series with a rule `stale_for` → when to look at it: not later than it becomes stale, UTC ms",
    ),
    Key(
        "tributary:{p}:transitions", "sorted set", "aggregator (commit)", "api, jobs, operators",
        "JSON: how the state of an alert has changed; the score is its number, 1, 2, …",
        "permanent, the newest 10,000",
    ),
    Key(
        "tributary:{p}:delivered", "hash", "jobs", "jobs",
        "digest of a destination of alerts → number of the last transition that was delivered to it",
    ),
    Key(
        "tributary:{p}:undelivered", "list", "jobs", "operators",
        "JSON: a transition that could not be delivered, the destination, why and when",
        "permanent, the newest 1,000",
    ),
    Key(
        "tributary:{p}:silences", "hash", "api, operators", "jobs, api, operators",
        "device, metric and rule → until when its transitions are not delivered, UTC ms",
        "until the end of another silence is set",
    ),
    Key(
        "tributary:{p}:state", "hash", "older releases", "all",
        "format 2: series → packed totals, newest readings, open slot of each window",
        "until the aggregator has moved its series to rows",
    ),
    Key(
        "tributary:{p}:windows", "string", "aggregator (ensure_rows)", "nobody",
        "why an aggregator of an older release must not write here: it expects a hash, which has "
        "the closed slots of format 2",
    ),
    Key(
        "tributary:{p}:windows:2", "hash", "older releases", "aggregator, api, jobs, operators",
        "format 2: series → packed closed slots of each window",
        "as `state`",
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
        "tributary:{p}:holes", "hash", "jobs", "all",
        "`first` and `last` entry that was deleted from the stream because it named a forgotten "
        "device, and how many `entries`, with how many `readings` of other devices",
        "until the stream has only later entries",
    ),
    Key(
        "tributary:{p}:copy:<key>", "stream", "jobs", "jobs",
        "what a stream contains without forgotten devices",
        "until it replaces the stream",
    ),
    Key(
        "tributary:{p}:buried", "sorted set", "aggregator (commit, begin_tenure)", "jobs, operators",
        "id of an entry that is not applied, or not all of it, and how many of its readings are; "
        "the score is the time in the id",
        "permanent; of entries in the stream",
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
    Key(
        REFUSALS, "hash", "ingest, api", "all",
        "status, error code and door → number of responses; earlier releases: code → number",
    ),
    Key(REQUESTS, "hash", "ingest", "all", "door → number of requests accepted"),
    Key(
        TIMINGS, "hash", "aggregator", "all",
        "histograms `commit` and `freshness`: bucket → how often, and the sum in microseconds",
    ),
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
        "tributary:forgotten:<key>", "hash", "jobs", "operators",
        "what a request to forget devices has deleted, and its report; no device",
        "a week after the last change",
    ),
    Key(
        ALERT_DESTINATIONS, "hash", "jobs", "all",
        "digest of a destination of alerts, as in `delivered` → its name",
    ),
    Key(
        ALERT_DELIVERIES, "hash", "jobs", "all",
        "number of deliveries of alerts, by outcome and destination: `delivered`, `failed` "
        "attempts, `given_up`",
    ),
    Key(
        ALERT_SENDER, "string", "jobs", "jobs", "token of the process that delivers alerts",
        "5 seconds after it was last renewed",
    ),
    Key(
        CONFIG, "hash", "the first process to start", "all",
        "settings that cannot change once data exists: partitions, windows, average_over, format",
    ),
    # The following are on the server at `jobs_url`, if there is one.
    Key(
        JOBS, "sorted set", "jobs", "all",
        "id of a process of jobs → time of its last heartbeat, UTC ms of the server",
        "permanent; members are removed a minute after their last heartbeat",
    ),
    Key(
        SCHEDULER, "string", "jobs", "jobs", "token of the process that runs the schedule",
        "5 seconds after it was last renewed",
    ),
    Key(
        SCHEDULE, "hash", "jobs", "jobs",
        "job of the schedule → when it was last queued, UTC ms of the server",
    ),
    Key(
        JOB_RUNS, "hash", "jobs", "all",
        "a job of the registry, and the outcome, the bucket of the duration, or `us`: how often it "
        "ran, and the sum of the durations in microseconds",
    ),
    Key(QUEUED, "list", "jobs, api, operators", "jobs, all", "ids of the jobs that wait"),
    Key(TAKEN, "list", "jobs", "jobs", "ids of the jobs that a worker is about to start"),
    Key(
        "rq:job:<key>", "hash", "jobs, api, operators", "jobs, all",
        "name and arguments of a job as JSON, status, times, retries",
        "until it is finished; 7 days if it failed",
    ),
    Key(
        "rq:results:<key>", "stream", "jobs", "operators", "result or traceback of a job",
        "as the job",
    ),
    Key(
        STARTED, "sorted set", "jobs", "jobs",
        "job and execution → when it counts as abandoned unless its worker extends it",
    ),
    Key(SCHEDULED, "sorted set", "jobs", "jobs, all", "job → when it is tried again"),
    Key(
        FAILED, "sorted set", "jobs", "operators, all", "failed job → when it is forgotten",
        "permanent, the newest 1,000",
    ),
    Key(FINISHED, "sorted set", "jobs", "operators", "finished job → when its result is deleted"),
    Key(
        "rq:execution:<key>", "hash", "jobs", "jobs", "an attempt to run a job: its worker and times",
        "15 seconds after the last heartbeat of its worker",
    ),
    Key(
        "rq:executions:<key>", "sorted set", "jobs", "jobs", "attempts to run a job",
        "75 seconds after the last heartbeat",
    ),
    Key(
        "rq:worker:<key>", "hash or set", "jobs", "operators",
        "a worker: host, process id, state; with `:executions` what it runs",
        "two minutes after its last heartbeat",
    ),
    Key("rq:workers", "set", "jobs", "operators", "the keys of the workers"),
    Key(f"rq:workers:{QUEUE}", "set", "jobs", "operators", "the same"),
    Key(QUEUES, "set", "jobs, api, operators", "operators", "the keys of the queues"),
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
rows = _of_partition("rows")
beyond = _of_partition("beyond")
counters = _of_partition("counters")
quantiles = _of_partition("quantiles")
alerts = _of_partition("alerts")
due = _of_partition("due")
transitions = _of_partition("transitions")
delivered = _of_partition("delivered")
undelivered = _of_partition("undelivered")
silences = _of_partition("silences")
free = _of_partition("free")
free_rings = _of_partition("free_rings")
free_short = _of_partition("free_short")
state = _of_partition("state")
windows = _of_partition("windows")
windows_2 = _of_partition("windows:2")
dead = _of_partition("dead")
forgets = _of_partition("forgets")
holes = _of_partition("holes")
buried = _of_partition("buried")


def once(partition: int, key: str) -> str:
    """Key of the response to the request with this Idempotency-Key."""
    return f"tributary:{{{partition}}}:once:{key}"


def claim(partition: int, key: str) -> str:
    """Key of the digest of the body that has claimed this Idempotency-Key."""
    return f"tributary:{{{partition}}}:claim:{key}"


@cache
def state_chunks(partition: int) -> str:
    """How the keys of the chunks of state begin; the number of the chunk follows."""
    return f"tributary:{{{partition}}}:state:"


@cache
def ring_chunks(partition: int) -> str:
    """How the keys of the chunks of rings begin."""
    return f"tributary:{{{partition}}}:rings:"


@cache
def short_chunks(partition: int) -> str:
    """How the keys of the chunks of short rows begin."""
    return f"tributary:{{{partition}}}:short:"


def job(id_: str) -> str:
    """Key of the fields of a job."""
    return f"rq:job:{id_}"


def job_results(id_: str) -> str:
    """Key of the results of a job."""
    return f"rq:results:{id_}"


def copy(stream: str) -> str:
    """Key of the copy of a stream, in the same slot."""
    head, _, name = stream.rpartition(":")
    return f"{head}:copy:{name}"


def forgotten(request: str) -> str:
    """Key of what a request to forget devices has deleted."""
    return f"tributary:forgotten:{request}"


def windows_since(metric: str) -> str:
    """Field of `meta`: until when windows of a metric were not kept; see `CATALOGUE`."""
    return f"windows_since:{metric}"


def left_out(metric: str) -> str:
    """Field of `meta`: until which entry a metric was left out of the history."""
    return f"left_out:{metric}"


def silence(device: str, metric: str, rule: str) -> str:
    """Field of a rule for a series in `silences`."""
    return f"{device}|{metric}|{rule}"


def series(device: str, metric: str) -> str:
    """Field of a series in `rows`; a device name cannot contain `|`."""
    return f"{device}|{metric}"
