"""Reads the aggregates of series."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import redis

from tributary.model.rows import UNKNOWN, Address, Shape, Stored, StoredSeries
from tributary.store import scripts
from tributary.store.redis_client import failures

_PER_SERIES = 4  # values in the reply of the script


class Packed(NamedTuple):
    """The aggregates of a series: `Layout.state`, and its rings followed by `OVERFLOW_CELL`s.

    An unknown series has no state, and one without closed slots no rings.
    """

    state: bytes | None
    windows: bytes | None


class Found(NamedTuple):
    """What was read at one moment."""

    fields: list[bytes | None]  # of meta
    documents: list[bytes | None]
    series: list[Packed]


def stored(series: Sequence[Any], chunks: Sequence[Any]) -> StoredSeries:
    """The series in the reply of `scripts.read_series`.

    Raises:
        ValueError: the rows of one are not two numbers.
    """
    each = zip(*(series[n::_PER_SERIES] for n in range(_PER_SERIES)), strict=True)
    return StoredSeries(
        [
            Stored(None if address is None else Address.parse(address), state, rings, beyond or b"")
            for address, state, rings, beyond in each
        ],
        {number: chunk or b"" for number, chunk in zip(chunks[::2], chunks[1::2], strict=True)},
    )


def parse(shape: Shape, reply: Sequence[Any]) -> Found:
    """The reply of `scripts.read_series`.

    The state of a series whose value has a wrong length is not a `Layout.state` either.
    """
    fields, documents, series, chunks = reply
    try:
        found = _packed(shape, series, chunks)
    except ValueError:
        each = (series[n : n + _PER_SERIES] for n in range(0, len(series), _PER_SERIES))
        found = [_packed_or_damaged(shape, one, chunks) for one in each]
    return Found(fields, documents, found)


def _packed(shape: Shape, series: Sequence[Any], chunks: Sequence[Any]) -> list[Packed]:
    found = stored(series, chunks)
    state, rings, _ = shape.unpack(found)
    return [
        Packed(
            None if one == UNKNOWN else state[n].tobytes(),
            rings[n].tobytes() + shape.beyond(one) if one.rings or one.beyond else None,
        )
        for n, one in enumerate(found.each)
    ]


def _packed_or_damaged(shape: Shape, one: Sequence[Any], chunks: Sequence[Any]) -> Packed:
    try:
        return _packed(shape, one, chunks)[0]
    except ValueError:
        return Packed(b"damaged", None)


def read(  # noqa: PLR0913 (what is read, and where)
    client: redis.Redis,
    shape: Shape,
    partition: int,
    series: Iterable[tuple[str, str]],
    *,
    devices: Sequence[str] = (),
    fields: Sequence[str] = (),
) -> Found:
    """Read series of a partition, by device and metric, with documents and fields of meta.

    Raises:
        Unavailable, ConnectionGone, NotPermitted: as `redis_client.failures`.
    """
    command = scripts.read_series(
        partition, series, shape=shape.arguments, devices=devices, fields=fields
    )
    with failures():
        (reply,) = scripts.execute(client, [command])
        if isinstance(reply, Exception):
            raise reply
    return parse(shape, reply)
