"""Reads the aggregates of series."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import redis

from tributary.model.address import SHORT, Address
from tributary.model.rows import Shape, Stored, StoredSeries
from tributary.store import scripts
from tributary.store.redis_client import failures
from tributary.store.scripts import Command

_PER_SERIES = 4  # values in the reply of the script
Name = tuple[str, str]  # device, metric


class Packed(NamedTuple):
    """The aggregates of a series: `Layout.state`, and its rings followed by `OVERFLOW_CELL`s.

    An unknown series has no state, and one without closed slots no rings. `pending`: how many of
    the newest readings have arrived since `counter` and `quantiles` were written, which only
    series of such metrics have. With a short row, the open slots of the state are empty.
    """

    state: bytes | None
    windows: bytes | None
    pending: int = 0
    counter: bytes | None = None
    quantiles: bytes | None = None
    is_short: bool = False


class Found(NamedTuple):
    """What was read at one moment."""

    fields: list[bytes | None]  # of meta
    documents: list[bytes | None]
    series: list[Packed]


def command(
    shape: Shape,
    partition: int,
    series: Sequence[Name],
    *,
    devices: Sequence[str] = (),
    fields: Sequence[str] = (),
) -> Command:
    """The command that reads series of a partition, with documents and fields of meta."""
    return scripts.read_series(
        partition,
        series,
        shape=shape.arguments,
        devices=devices,
        fields=fields,
        counters=shape.declared.of_counters(series),
        quantiles=shape.declared.of_quantiles(series),
    )


def stored(shape: Shape, names: Sequence[Name], reply: Sequence[Any]) -> StoredSeries:
    """The series in the reply of `command`.

    Raises:
        ValueError: the rows of one are not two numbers.
    """
    _, _, series, chunks, of_counters, of_quantiles = reply
    each = zip(*(series[n::_PER_SERIES] for n in range(_PER_SERIES)), strict=True)
    counters = dict(zip(shape.declared.of_counters(names), of_counters, strict=True))
    quantiles = dict(zip(shape.declared.of_quantiles(names), of_quantiles, strict=True))
    return StoredSeries(
        [
            Stored(
                None if address is None else Address.parse(address), state, rings, beyond or b"",
                counters.get(n), quantiles.get(n),
            )
            for n, (address, state, rings, beyond) in enumerate(each)
        ],
        {number: chunk or b"" for number, chunk in zip(chunks[::2], chunks[1::2], strict=True)},
    )  # fmt: skip


def parse(shape: Shape, names: Sequence[Name], reply: Sequence[Any]) -> Found:
    """The reply of `command`.

    The state of a series whose value has a wrong length is not a `Layout.state` either.
    """
    fields, documents, series, chunks, *_ = reply
    try:
        found = _packed(shape, stored(shape, names, reply))
    except ValueError:
        each = (series[n : n + _PER_SERIES] for n in range(0, len(series), _PER_SERIES))
        found = [_packed_or_damaged(shape, one, chunks) for one in each]
    return Found(fields, documents, found)


def _packed(shape: Shape, found: StoredSeries) -> list[Packed]:
    state, rings, pending = shape.unpack(found)
    return [
        Packed(
            None if one.address is None and one.state is None else state[n].tobytes(),
            rings[n].tobytes() + shape.beyond(one) if one.rings or one.beyond else None,
            int(pending[n]),
            one.counter,
            one.quantiles,
            one.address is not None and one.address.ring == SHORT,
        )
        for n, one in enumerate(found.each)
    ]


def _packed_or_damaged(shape: Shape, one: Sequence[Any], chunks: Sequence[Any]) -> Packed:
    try:
        reply = ((), (), one, chunks, (), ())
        return _packed(shape, stored(shape, (), reply))[0]
    except ValueError:
        return Packed(b"damaged", None)


def read(  # noqa: PLR0913 (what is read, and where)
    client: redis.Redis,
    shape: Shape,
    partition: int,
    series: Iterable[Name],
    *,
    devices: Sequence[str] = (),
    fields: Sequence[str] = (),
) -> Found:
    """Read series of a partition, by device and metric, with documents and fields of meta.

    Raises:
        Unavailable, ConnectionGone, NotPermitted: as `redis_client.failures`.
    """
    names = list(series)
    wanted = command(shape, partition, names, devices=devices, fields=fields)
    with failures():
        (reply,) = scripts.execute(client, [wanted])
        if isinstance(reply, Exception):
            raise reply
    return parse(shape, names, reply)
