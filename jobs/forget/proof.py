"""Looks for the names of forgotten devices in every store."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import redis

from jobs.forget import raw_rows
from jobs.forget.streams import Limits, named
from tributary.history.database import Database
from tributary.model import alert
from tributary.operate.forgetting import entries, history_rows
from tributary.settings import Settings
from tributary.store import jobs_server, keys
from tributary.store.redis_client import failures
from tributary.store.tombstone import parts_of
from tributary.store.topology import servers

_OF_NAME = "A-Za-z0-9._:/-"  # characters of device names
_SCAN_COUNT = 1_000
_KEYS_PER_PAGE = 200


class Places(NamedTuple):
    """What was looked at, and where a name was found."""

    checked: Counter[str]
    found: Counter[str]
    returned: set[str]  # devices that have recorded again


class Names:
    """Names of devices, to be found in texts."""

    def __init__(self, devices: Iterable[str]) -> None:
        either = "|".join(sorted(map(re.escape, devices), key=len, reverse=True))
        self._pattern = re.compile(f"(?<![{_OF_NAME}])(?:{either})(?![{_OF_NAME}])".encode())

    def are_in(self, text: bytes) -> bool:
        """Whether a text contains one of the names, not as a part of a longer name."""
        return self._pattern.search(text) is not None


def search(
    client: redis.Redis, settings: Settings, by_partition: Mapping[int, Limits], db: Database | None
) -> Places:
    """Look for the devices in Redis and in the history.

    Args:
        client: of the deployment.
        settings: with the partitions of the data.
        by_partition: the devices, with the ids of their last tombstones.
        db: the history, if there is one.
    """
    places = Places(Counter(), Counter(), set())
    by_partition = {partition: limits for partition, limits in by_partition.items() if limits}
    for partition, limits in by_partition.items():
        places.returned.update(returned(client, partition, limits))
    for partition, limits in by_partition.items():
        gone = {device: id_ for device, id_ in limits.items() if device not in places.returned}
        _search_streams(client, partition, limits, places)
        _search_aggregates(client, partition, gone, places)
    names = {device for limits in by_partition.values() for device in limits} - places.returned
    if names:
        _search_keys(client, Names(names), places)
        if settings.jobs_url:
            with jobs_server.connected(settings) as queue:
                _search_keys(queue, Names(names), places)
        if db is not None:
            for table, texts in history_rows.mentions(db, sorted(names)).items():
                places.checked[f"table {table}"] += 1
                found = sum(Names(names).are_in(str(text).encode()) for text in texts)
                places.found[f"table {table}"] += found
            for partition, limits in by_partition.items():
                checked, naming = raw_rows.search(
                    settings, db, partition, limits.keys() - places.returned
                )
                places.checked["raw files"] += checked
                places.found["raw files"] += naming
    return places


def returned(client: redis.Redis, partition: int, limits: Limits, last: str = "+") -> Iterator[str]:
    """The devices that were recorded behind their last tombstone, up to the entry `last`.

    Entries behind it name them. If these may be gone because the tombstone is, the aggregates do:
    the tombstone was applied, so what they have was recorded behind it.
    """
    first = "({}-{}".format(*min(limits.values()))
    for entry in entries.read(client, partition, first, last):
        if not entry.is_tombstone:
            yield from (entry.readings.keys() & limits.keys()) - named(entry, limits)
    is_passed = {id_: last == "+" or id_ <= parts_of(last) for id_ in set(limits.values())}
    trimmed = {id_ for id_ in is_passed if is_passed[id_] and not _is_held(client, partition, id_)}
    yield from _recorded(client, partition, [d for d, id_ in limits.items() if id_ in trimmed])


def _is_held(client: redis.Redis, partition: int, id_: tuple[int, int]) -> bool:
    """Whether the stream has an entry; it loses its oldest ones first."""
    text = "{}-{}".format(*id_)
    with failures():
        return bool(client.xrange(keys.readings(partition), text, text))


def _recorded(client: redis.Redis, partition: int, names: list[str]) -> Iterator[str]:
    """Those of the devices that have aggregates."""
    for first in range(0, len(names), _SCAN_COUNT):
        some = names[first : first + _SCAN_COUNT]
        with failures():
            documents: Any = client.hmget(keys.latest(partition), some)
        yield from (name for name, text in zip(some, documents, strict=True) if text is not None)


def _search_streams(client: redis.Redis, partition: int, limits: Limits, places: Places) -> None:
    last = "{}-{}".format(*max(limits.values()))
    for entry in entries.read(client, partition, "-", last):
        places.checked["stream entries"] += 1
        places.found["stream entries"] += bool(named(entry, limits))
    for _, fields in entries.pages(client, keys.dead(partition)):
        held = dict(zip(fields[0::2], fields[1::2], strict=True))
        entry_id, entry = entries.buried(held)
        places.checked["dead entries"] += 1
        places.found["dead entries"] += bool(named(entry, limits, entry_id))


def _search_aggregates(client: redis.Redis, partition: int, limits: Limits, places: Places) -> None:
    """Look at every field of the hashes, and at every device in the list.

    Chunks of rows contain no names: `rows` has them, and free rows are zero.
    """
    hashes = {
        "rows": keys.rows, "beyond": keys.beyond, "latest": keys.latest,
        "state": keys.state, "windows:2": keys.windows_2, "counters": keys.counters,
        "alerts": keys.alerts,
        "quantiles": keys.quantiles,
    }  # fmt: skip
    for name, key in hashes.items():
        with failures():
            for field, _ in client.hscan_iter(key(partition), count=_SCAN_COUNT):
                places.checked["aggregates"] += 1
                device = field.decode().partition("|")[0]
                places.found[f"aggregates ({name})"] += device in limits
    with failures():
        for field, _ in client.zscan_iter(keys.devices(partition), count=_SCAN_COUNT):
            places.checked["aggregates"] += 1
            places.found["aggregates (devices)"] += field.decode() in limits
        for field, _ in client.zscan_iter(keys.due(partition), count=_SCAN_COUNT):
            places.checked["aggregates"] += 1
            places.found["aggregates (due)"] += field.decode().partition("|")[0] in limits
        for member, _ in client.zscan_iter(keys.transitions(partition), count=_SCAN_COUNT):
            places.checked["transitions of alerts"] += 1
            found = alert.parse_transition(member).device in limits
            places.found["transitions of alerts"] += found


_PREFIXES = (b"tributary:", b"rq:")
_OWN = re.compile(
    rb"tributary:\{\d+\}:(readings|dead|rows|(state|rings|short):\d+|beyond|counters|quantiles|"
    rb"state|free(_rings|_short)?|windows(:2)?|latest|devices|alerts|due|transitions|forgets|meta|"
    rb"holes)"
)


def _search_keys(client: redis.Redis, names: Names, places: Places) -> None:
    """Look at the names and the values of all other keys: idempotency, queue, settings."""
    for server in servers(client):
        with failures():
            for page in _pages_of_keys(server):
                places.checked["other keys"] += len(page)
                for key, values in _values(server, page):
                    own = re.split(rb":(?:once|claim):", key)  # the key of a client begins a word
                    if any(map(names.are_in, (*own, *values))):
                        places.found[_kind(key)] += 1


def _pages_of_keys(server: redis.Redis) -> Iterator[list[bytes]]:
    """The keys of a server that are not searched in another way, some at a time."""
    cursor: int | None = None
    while cursor != 0:
        found: Any = server.scan(cursor or 0, count=_SCAN_COUNT)
        cursor, scanned = found
        page = [key for key in scanned if key.startswith(_PREFIXES) and not _is_own(key)]
        for first in range(0, len(page), _KEYS_PER_PAGE):
            yield page[first : first + _KEYS_PER_PAGE]


def _is_own(key: bytes) -> bool:
    """Whether a key is searched in another way; a token for a device is a setting, not data."""
    return _OWN.fullmatch(key) is not None or key == keys.TOKENS.encode()


def _kind(key: bytes) -> str:
    """The name of a key without its variable parts."""
    return re.sub(rb"\{\d+\}:(once|claim):.*", rb"*:\1:*", key).decode(errors="replace")


def _values(server: redis.Redis, page: list[bytes]) -> Iterator[tuple[bytes, list[bytes]]]:
    """The texts in the values of some keys; what the queue has compressed is decompressed.

    There is a key for each request of the last minutes that may be retried: one round trip for
    the types and one for the strings of a page, because thousands take minutes under load.
    """
    types: Any = _replies(server, "TYPE", page)
    strings = [key for key, kind in zip(page, types, strict=True) if kind == b"string"]
    for key, text in zip(strings, _replies(server, "GET", strings), strict=True):
        yield key, list(_texts([text or b""]))
    for key, kind in zip(page, types, strict=True):
        if kind != b"string":
            yield key, list(_texts(_parts(server, key, kind)))


def _replies(server: redis.Redis, command: str, names: list[bytes]) -> list[Any]:
    pipeline = server.pipeline(transaction=False)
    for name in names:
        pipeline.execute_command(command, name)  # type: ignore[no-untyped-call]
    return pipeline.execute()


def _parts(server: redis.Redis, key: bytes, kind: bytes) -> list[Any]:
    """The members and fields of a value that is not a string."""
    if kind == b"hash":
        return [part for pair in server.hscan_iter(key, count=_SCAN_COUNT) for part in pair]
    if kind == b"set":
        return list(server.sscan_iter(key, count=_SCAN_COUNT))
    if kind == b"zset":
        return [member for member, _ in server.zscan_iter(key, count=_SCAN_COUNT)]
    if kind == b"list":
        found: Any = server.lrange(key, 0, -1)
        return list(found)
    if kind == b"stream":
        return [part for _, fields in entries.pages(server, key.decode()) for part in fields]
    return []


def _texts(values: list[Any]) -> Iterator[bytes]:
    for value in values:
        yield value
        try:
            yield zlib.decompress(value)
        except zlib.error:
            continue
