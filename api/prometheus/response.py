"""The JSON of results and errors, as in the HTTP API of Prometheus. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import msgspec
import numpy as np

from api.prometheus.vectors import Element, Points, Scalar, Value
from tributary.http.error_body import encodable
from tributary.model.groups import Ints

_encode = msgspec.json.Encoder().encode


def success(data: Any, infos: Collection[str] = (), warnings: Collection[str] = ()) -> bytes:
    """A body with data, which may be encoded already, and remarks about it."""
    body: dict[str, Any] = {"status": "success", "data": data}
    if warnings:
        body["warnings"] = sorted(warnings)
    if infos:
        body["infos"] = sorted(infos)
    return _encode(body)


def failure(kind: str, message: str) -> bytes:
    """A body with an error; `kind` is the errorType."""
    return _encode({"status": "error", "errorType": kind, "error": encodable(message)})


def instant(value: Value, time_ms: int, limit: int) -> tuple[msgspec.Raw, bool]:
    """The data of an instant query, and whether elements beyond a limit were left out."""
    if isinstance(value, Scalar):
        point = [seconds(time_ms), number(float(value.values[0]))]
        return _data("scalar", _encode(point)), False
    present = [element for element in value if element.points.is_present[0]]
    results = (
        {
            "metric": dict(element.labels),
            "value": [seconds(time_ms), number(float(element.points.values[0]))],
        }
        for element in present[:limit]
    )
    return _data("vector", _list(map(_encode, results))), len(present) > limit


def over_time(value: Value, times_ms: Ints, limit: int) -> tuple[msgspec.Raw, bool]:
    """The data of a range query, series by labels, and whether some were left out."""
    if isinstance(value, Scalar):
        value = [_constant(value)]
    present = [element for element in value if element.points.is_present.any()]
    present.sort(key=lambda element: element.labels)
    times = [seconds(time_ms) for time_ms in times_ms.tolist()]
    results = (_series(element, times) for element in present[:limit])
    return _data("matrix", _list(results)), len(present) > limit


def seconds(time_ms: int) -> float:
    """A time in seconds, without a fraction if it has none."""
    return time_ms // 1000 if time_ms % 1000 == 0 else time_ms / 1000


def number(value: float) -> str:
    """The shortest text that reads back to the same double, in the notation of Prometheus."""
    if value != value:  # noqa: PLR0124 (is it NaN?)
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    if "e" in text and 1e-6 <= abs(value) < 1e21:
        return np.format_float_positional(value, trim="-")
    return text.removesuffix(".0")


def _constant(scalar: Scalar) -> Element:
    return Element((), Points(scalar.values, np.ones(len(scalar.values), np.bool_)))


def _series(element: Element, times: list[float]) -> bytes:
    """One series as JSON; encoded one by one, the lists of points never exist all at once."""
    values, is_present = element.points
    points = [
        (times[place], number(value))
        for place, value in zip(
            np.flatnonzero(is_present).tolist(), values[is_present].tolist(), strict=True
        )
    ]
    return _encode({"metric": dict(element.labels), "values": points})


def _list(items: Iterable[bytes]) -> bytes:
    return b"[%b]" % b",".join(items)


def _data(kind: str, result: bytes) -> msgspec.Raw:
    return msgspec.Raw(b'{"resultType":"%b","result":%b}' % (kind.encode(), result))
