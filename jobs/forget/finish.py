"""The last steps: the names leave the records, the files of Redis are rewritten, a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
import redis
from loguru import logger

from jobs.forget import persistence
from jobs.forget.proof import Places
from tributary import failpoints
from tributary.errors import Unavailable
from tributary.model.clock import utc_ms
from tributary.operate.forgetting import records
from tributary.operate.forgetting.requests import Left, Report
from tributary.settings import Settings
from tributary.store import keys
from tributary.store.redis_client import failures
from tributary.store.tombstone import ERASED, Record, Tombstone

REPORT_TTL_S = 7 * 86_400
_EXPIRES = ("once", "claim")  # kinds of keys with a lifetime
_ALWAYS_LEFT = (
    Left("backups and copies of the stores", "made before; delete them, or forget again there"),
    Left("logs", "of Tributary, Redis and proxies: they may contain names until they rotate"),
)


def note(client: redis.Redis, record: Record, fields: Mapping[str, str | int]) -> None:
    """Keep something about a request; no device."""
    key = keys.forgotten(record.tombstone.request)
    mapping: Any = fields
    with failures():
        client.hset(key, mapping=mapping)
        client.expire(key, REPORT_TTL_S)


def require_gone(places: Places) -> None:
    """Check that no name was found where it does not expire by itself.

    Raises:
        Unavailable: names the places; the queue tries the job again.
    """
    found = {place: count for place, count in places.found.items() if count}
    remaining = [place for place in found if not _expires(place)]
    if remaining:
        raise Unavailable(
            f"a forgotten device is still named in {', '.join(sorted(remaining))}; this is "
            "repeated until nothing is found"
        )


def mark_erased(
    client: redis.Redis,
    settings: Settings,
    passed: list[Record],
    deleted: Counter[str],
    places: Places,
) -> None:
    """Replace the names in the records by what is known about them."""
    expiring = [place for place, count in places.found.items() if count and _expires(place)]
    minutes = settings.idempotency_ttl_ms * 11 // 600_000 + 1
    fields: dict[str, str | int] = {
        "waiting": "files",
        **{f"deleted:{what}": count for what, count in deleted.items()},
        **{f"checked:{what}": count for what, count in places.checked.items()},
        **{
            f"left:{place}": f"an idempotency key of a client; expires within {minutes} minutes"
            for place in expiring
        },
    }
    if places.returned:
        fields[f"left:{len(places.returned)} devices"] = (
            "recorded again; what is stored of them was recorded after the request"
        )
    for record in passed:
        count = len(record.tombstone.devices)
        id_ = f"{record.partition}/{record.entry_id}"
        note(client, record, {**fields, f"devices:{id_}": count})
        nameless = Record(
            record.partition, record.entry_id, ERASED, Tombstone(record.tombstone.request, ())
        )
        with failures():
            client.hset(keys.forgets(record.partition), record.entry_id, nameless.packed())
    failpoints.reach("after_forget_marked")


def finish(client: redis.Redis, settings: Settings) -> int:
    """Rewrite the files of Redis for requests of which every record is erased, and report.

    Returns how many records were finished.
    """
    found = records.read(client, range(settings.partitions))
    unfinished = {r.tombstone.request for r in found if r.stage != ERASED}
    done = [record for record in found if record.tombstone.request not in unfinished]
    if not done:
        return 0
    left = persistence.rewrite(client)
    failpoints.reach("after_forget_rewrite")
    for request in dict.fromkeys(record.tombstone.request for record in done):
        _report(client, request, left)
    failpoints.reach("after_forget_report")
    for record in done:
        with failures():
            client.hdel(keys.forgets(record.partition), record.entry_id)
    return len(done)


def _report(client: redis.Redis, request: str, left: list[Left]) -> None:
    key = keys.forgotten(request)
    with failures():
        stored: Any = client.hgetall(key)
    fields = {name.decode(): value.decode() for name, value in stored.items()}
    report = Report(
        request=request,
        devices=sum(map(int, _named(fields, "devices:").values())),
        deleted={name: int(count) for name, count in _named(fields, "deleted:").items()},
        checked={name: int(count) for name, count in _named(fields, "checked:").items()},
        left=[
            *(Left(where, reason) for where, reason in _named(fields, "left:").items()),
            *left,
            *_ALWAYS_LEFT,
        ],
        finished_ms=utc_ms(),
    )
    with failures():
        client.hset(key, "report", msgspec.json.encode(report))
        client.expire(key, REPORT_TTL_S)
    logger.bind(action="forgotten", request=request, devices=report.devices).info("forgotten")


def _named(fields: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {k.removeprefix(prefix): value for k, value in fields.items() if k.startswith(prefix)}


def _expires(place: str) -> bool:
    return any(f":{kind}:" in place for kind in _EXPIRES)
