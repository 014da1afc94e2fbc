"""The catalogue of metrics: each with its name, labels, meaning and source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Literal, NamedTuple, get_type_hints

from tributary import __version__
from tributary.auth.refusals import Refusal
from tributary.operate import alert_counts, status
from tributary.operate.job_runs import JobRuns
from tributary.operate.status import Jobs, Partition, Status
from tributary.operate.status.history import HistoryStatus
from tributary.operate.status.partition import Entries
from tributary.operate.status.server import Server
from tributary.store.histogram import COMMITS, FRESHNESS, Histogram

Sample = tuple[tuple[str, ...], Any]  # label values; a value, or the buckets of a histogram


class Scrape(NamedTuple):
    """What is read from Redis for one scrape."""

    status: Status
    refusals: Mapping[Refusal, int]
    requests: Mapping[str, int]  # accepted, by door
    timings: Mapping[str, int]
    job_runs: JobRuns
    ignored: Mapping[str, int]  # values, by door
    messages: Mapping[str, int]  # of MQTT, by outcome
    bridges: int
    alerts: alert_counts.AlertCounts | None = None


class Metric(NamedTuple):
    """A metric, and how its samples are taken from a scrape."""

    name: str
    labels: tuple[str, ...]
    description: str
    samples: Callable[[Any], list[Sample]]  # of a Scrape; those of ALWAYS also of None
    is_histogram: bool = False

    @property
    def type(self) -> Literal["counter", "gauge", "histogram"]:
        """Its type in the exposition; by convention only the names of counters end in `_total`."""
        if self.is_histogram:
            return "histogram"
        return "counter" if self.name.endswith("_total") else "gauge"


def _described(struct: type, field: str) -> str:
    """The description of a field of the status, as in the OpenAPI schema."""
    description: str = (
        get_type_hints(struct, include_extras=True)[field].__metadata__[0].description
    )
    return description


def _per_partition(name: str, path: str, *, is_gross: bool = False) -> Metric:
    """A count of each partition.

    `is_gross`: including replayed ones, which the status subtracts: counters never fall.
    """
    prefix = "entries." if path.startswith("entries.") else ""
    count, replayed = attrgetter(path), attrgetter(f"{prefix}replayed")
    return Metric(
        f"tributary_{name}",
        ("partition",),
        _described(Entries if prefix else Partition, path.removeprefix(prefix)),
        lambda scrape: [
            ((str(p.partition),), count(p) + (replayed(p) if is_gross else 0))
            for p in scrape.status.partitions
        ],
    )


def _total(name: str, description: str, value: Callable[[Scrape], float]) -> Metric:
    return Metric(f"tributary_{name}", (), description, lambda scrape: [((), value(scrape))])


def _server(name: str, field: str) -> Metric:
    value = attrgetter(f"status.server.{field}")
    return _total(f"redis_{name}", _described(Server, field), value)


def _jobs(name: str, field: str) -> Metric:
    value = attrgetter(field)
    return Metric(
        f"tributary_jobs_{name}",
        (),
        _described(Jobs, field),
        lambda scrape: [((), value(scrape.status.jobs))] if scrape.status.jobs else [],
    )


def _history(name: str, field: str) -> Metric:
    """A figure of the history of each partition; none if it is off."""
    return Metric(
        f"tributary_history_{name}",
        ("partition",),
        _described(HistoryStatus, field),
        lambda scrape: [
            ((str(p.partition),), getattr(p.history, field))
            for p in scrape.status.partitions
            if p.history
        ],
    )


def _timing(name: str, histogram: Histogram, stored_as: str, description: str) -> Metric:
    """A histogram that the aggregators add to."""
    return Metric(
        f"tributary_{name}_seconds",
        (),
        description,
        lambda scrape: [((), histogram.buckets(stored_as, scrape.timings))],
        is_histogram=True,
    )


def _alerts(
    name: str,
    labels: tuple[str, ...],
    description: str,
    samples: Callable[[alert_counts.AlertCounts], list[Sample]],
) -> Metric:
    return Metric(
        f"tributary_{name}", labels, description,
        lambda scrape: samples(scrape.alerts) if scrape.alerts else [],
    )  # fmt: skip


CATALOGUE = (
    _per_partition("readings_accepted_total", "accepted", is_gross=True),
    _per_partition("readings_applied_total", "applied"),
    _per_partition("readings_late_total", "late"),
    _per_partition("readings_dead_total", "dead", is_gross=True),
    _per_partition("readings_replayed_total", "replayed"),
    _per_partition("readings_lost_total", "lost"),
    _per_partition("readings_lost_at_restart_total", "lost_at_restart"),
    _per_partition("readings_refused_total", "refused"),
    _per_partition("readings_pending", "pending"),
    _per_partition("readings_missing", "missing"),
    _per_partition("entries_accepted_total", "entries.accepted", is_gross=True),
    _per_partition("entries_lost_total", "entries.lost"),
    _per_partition("entries_dead_total", "entries.dead", is_gross=True),
    _per_partition("entries_pending", "entries.pending"),
    _per_partition("lag_seconds", "lag_s"),
    _per_partition("stream_entries", "stream_entries"),
    _per_partition("devices", "devices"),
    _per_partition("series", "series"),
    _history("lag_seconds", "lag_s"),
    _history("pending_entries", "lag_entries"),
    _history("gaps", "gaps"),
    _history("gap_entries", "gap_entries"),
    _history("gap_readings", "gap_readings"),
    _total(
        "stream_entries_max",
        _described(Status, "stream_max_entries"),
        attrgetter("status.stream_max_entries"),
    ),
    _total(
        "aggregators", "aggregators with a recent heartbeat", lambda s: len(s.status.aggregators)
    ),
    Metric(
        "tributary_aggregator_partitions",
        ("aggregator",),
        "partitions owned by an aggregator",
        lambda scrape: [((a.id,), len(a.partitions)) for a in scrape.status.aggregators],
    ),
    Metric(
        "tributary_aggregator_heartbeat_age_seconds",
        ("aggregator",),
        "time since the last heartbeat of an aggregator",
        lambda scrape: [((a.id,), a.heartbeat_age_ms / 1000) for a in scrape.status.aggregators],
    ),
    _timing(
        "freshness",
        FRESHNESS,
        "freshness",
        "time from accepting an entry to its readings in `/collect`, by the clock of Redis",
    ),
    _timing("commit", COMMITS, "commit", "time from sending a commit of a partition to its reply"),
    _jobs("queued", "queued"),
    _jobs("failed", "failed"),
    _jobs("oldest_seconds", "oldest_s"),
    Metric(
        "tributary_job_runs_total",
        ("job", "outcome"),
        "runs of jobs: finished, failed for good, failed and to be retried, or interrupted",
        lambda scrape: sorted(scrape.job_runs.ended.items()),
    ),
    Metric(
        "tributary_job_duration_seconds",
        ("job",),
        "how long runs of jobs took that were not interrupted",
        lambda scrape: [((job,), found) for job, found in scrape.job_runs.durations.items()],
        is_histogram=True,
    ),
    _server("memory_used_bytes", "used_memory_bytes"),
    _server("memory_max_bytes", "max_memory_bytes"),
    _server("aof_delayed_fsyncs_total", "aof_delayed_fsyncs"),
    _server("aof_pending_fsyncs", "aof_pending_fsyncs"),
    _server("aof_unwritten_bytes", "aof_unwritten_bytes"),
    Metric(
        "tributary_redis_info",
        ("version", "role"),
        "always 1; version and role of the server",
        lambda scrape: [((scrape.status.server.version, scrape.status.server.role), 1)],
    ),
    Metric(
        "tributary_requests_accepted_total",
        ("door",),
        "requests accepted, by door; up to a second late",
        lambda scrape: [((door,), count) for door, count in sorted(scrape.requests.items())],
    ),
    Metric(
        "tributary_requests_refused_total",
        Refusal._fields,
        "error responses; door `api`: routes of the role api, `http`: no route; up to a second late",
        lambda scrape: sorted(scrape.refusals.items()),
    ),
    Metric(
        "tributary_values_ignored_total",
        ("door",),
        "values left out because they are text, at doors whose clients send some; up to a second late",
        lambda scrape: [((door,), count) for door, count in sorted(scrape.ignored.items())],
    ),
    Metric(
        "tributary_mqtt_messages_total",
        ("outcome",),
        "MQTT messages received; stored, duplicate, ignored or refused, with the reason; retried",
        lambda scrape: [((outcome,), count) for outcome, count in sorted(scrape.messages.items())],
    ),
    _total(
        "mqtt_bridges",
        "MQTT bridges that are subscribed and connected to Redis",
        lambda scrape: scrape.bridges,
    ),
    _alerts(
        "alerts",
        ("state", "severity"),
        "alerts that are pending or firing",
        lambda found: list(found.alerts.items()),
    ),
    _alerts(
        "alert_transitions_total",
        (),
        "transitions of alerts between ok, pending and firing",
        lambda found: [((), found.transitions)],
    ),
    _alerts(
        "alert_deliveries_total",
        ("outcome", "destination"),
        "deliveries of alerts: delivered, failed attempts, given up; up to two seconds late",
        lambda found: sorted(found.deliveries.items()),
    ),
    _alerts(
        "alert_delivery_behind",
        ("destination",),
        "transitions of alerts not yet processed for a destination",
        lambda found: [((name,), count) for name, count in sorted(found.behind.items())],
    ),
    _total(
        "healthy",
        "1 if `tributary status` reports no problem",
        lambda scrape: not status.problems(scrape.status),
    ),
)
ALWAYS = (
    _total(
        "redis_up",
        "1 if Redis replied; if 0, only this and the build are reported",
        lambda scrape: scrape is not None,
    ),
    Metric(
        "tributary_build_info",
        ("version",),
        "always 1; version of Tributary",
        lambda _: [((__version__,), 1)],
    ),
)
