"""The readings of the slot that is open, for its quantiles. Pure.

A value is stored as its difference from the first one, in units of the first difference that is
not 0, as the upper half of a number in single precision: with 8 significant bits. If there are
`VALUES_MAX`, they are replaced by half as many, which stand for all readings until then: sorted,
those at equal distances.
"""

from __future__ import annotations

import math
import struct
from array import array

import numpy as np
from numpy.typing import NDArray

from tributary.model.distribution import UNKNOWN, Curve, Sketch, sketch_of
from tributary.model.groups import Floats

VALUES_MAX = 64
_KEPT = VALUES_MAX // 2
_HEAD = struct.Struct("<dddhIB")  # first value, extremes, exponent, readings, whether unknown
_SINGLE, _BITS = struct.Struct("<f"), struct.Struct("<I")
_EXPONENT_MAX = 127  # of single precision, rounded up
_NO_EXPONENT = -(1 << 15)


class OpenSlot:
    """The readings of one slot: at most `VALUES_MAX` values, whatever their number."""

    __slots__ = ("_exponent", "_first", "_values", "count", "high", "is_unknown", "low")

    def __init__(self) -> None:
        """A slot without readings."""
        self.count = 0  # readings
        self.low, self.high = math.inf, -math.inf
        self.is_unknown = False  # whether the values of some of its readings are
        self._first, self._exponent = 0.0, _NO_EXPONENT
        self._values = array("H")

    def add(self, value: float) -> None:
        """Add a reading."""
        self.count += 1
        self.low, self.high = min(self.low, value), max(self.high, value)
        if self.is_unknown:
            return
        if not self._values:
            self._first = value
        self._values.append(self._encoded(value))
        if len(self._values) == VALUES_MAX:
            self._halve()

    def curve(self) -> Curve | None:
        """The distribution; None if it is unknown."""
        if self.is_unknown:
            return None
        values, weights = self._weighted()
        return Curve.of_points(values, weights, self.low, self.high)

    def sketch(self) -> Sketch:
        """The sketch of the closed slot, whose readings are all known."""
        values, weights = self._weighted()
        points = list(zip(values.tolist(), weights.tolist(), strict=True))
        return sketch_of(points, self.low, self.high)

    def extremes(self) -> tuple[int, float, float, NDArray[np.uint8]]:
        """The fields of a `SKETCH` record without marks."""
        return self.count, self.low, self.high, UNKNOWN

    def packed(self) -> bytes:
        """As it is stored."""
        extremes = (self._first, self.low, self.high, self._exponent)
        head = _HEAD.pack(*extremes, self.count, self.is_unknown)
        return head + np.asarray(self._values, "<u2").tobytes()

    @classmethod
    def parse(cls, packed: bytes) -> OpenSlot:
        """Parse what `packed` returned.

        Raises:
            ValueError: it has another length.
        """
        if len(packed) < _HEAD.size or (len(packed) - _HEAD.size) % 2:
            raise ValueError("the length of an open slot is wrong")
        found = cls()
        found._first, found.low, found.high, *others = _HEAD.unpack_from(packed)
        found._exponent, found.count, found.is_unknown = others[0], others[1], bool(others[2])
        found._values = array("H", np.frombuffer(packed, "<u2", offset=_HEAD.size).tolist())
        return found

    def _halve(self) -> None:
        """Replace the values by every second one in order, in turn the odd and the even ones."""
        values, weights = self._weighted()
        upto = np.cumsum(weights)
        ranks = (np.arange(_KEPT) + 0.5) * (self.count / _KEPT)
        side = "left" if self.count // _KEPT % 2 else "right"
        at = np.minimum(np.searchsorted(upto, ranks, side), len(values) - 1)  # type: ignore[call-overload]
        self._values = array("H", map(self._encoded, values[at].tolist()))

    def _weighted(self) -> tuple[Floats, Floats]:
        """The values in order, and how many readings each stands for."""
        halves = np.asarray(self._values, np.uint32) << 16
        differences = np.ldexp(halves.view(np.float32).astype(np.float64), self._exponent)
        with np.errstate(over="ignore"):
            values = np.clip((self._first / 2 + differences) * 2, self.low, self.high)
        weights = np.ones(len(values))
        if self.count > len(values):  # the first ones stand for more
            weights[:_KEPT] = (self.count - len(values) + _KEPT) / _KEPT
        order = np.argsort(values, kind="stable")
        return values[order], weights[order]

    def _encoded(self, value: float) -> int:
        difference = value / 2 - self._first / 2  # the difference itself may overflow
        if not difference:
            return 0
        if self._exponent == _NO_EXPONENT:
            self._exponent = math.frexp(difference)[1]
        mantissa, exponent = math.frexp(difference)
        shifted = math.ldexp(mantissa, min(exponent - self._exponent, _EXPONENT_MAX))
        (bits,) = _BITS.unpack(_SINGLE.pack(shifted))
        return int(bits + 0x7FFF + (bits >> 16 & 1)) >> 16
