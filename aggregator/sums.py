"""Correctly rounded sums of short rows of numbers, vectorised over the rows. Pure."""

from __future__ import annotations

import math

import numpy as np

from tributary.model.groups import Floats

_ROWS_MIN = 128  # fewer are added one by one in less time


def exact_sums(rows: Floats) -> Floats:
    """The sum of each row, equal to `math.fsum` of it.

    The sum and the rounding errors of all additions together are exact. Where the sum of the
    errors is exact as well, adding both rounds once; the few other rows are left to `fsum`.

    Raises:
        OverflowError: a sum exceeds the range of a double on the way; the total may not.
    """
    if len(rows) < _ROWS_MIN:
        return np.array(list(map(math.fsum, rows.tolist())), np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        total, errors = _two_sums(np.ascontiguousarray(rows.T))
        error, errors = _two_sums(errors)
        sums: Floats = total + error + 0.0  # not -0.0, like `fsum`
        inexact = np.flatnonzero(errors.any(axis=0) | ~np.isfinite(sums))
    if len(inexact):
        sums[inexact] = list(map(math.fsum, rows[inexact].tolist()))
    return sums


def _two_sums(columns: Floats) -> tuple[Floats, Floats]:
    """The sum over the first axis, and the rounding error of every addition (Knuth's two-sum)."""
    errors = [np.zeros_like(columns[:1])]
    while len(columns) > 1:
        half = len(columns) // 2
        one, other = columns[:half], columns[half : 2 * half]
        sums = one + other
        added = sums - one
        errors.append((one - (sums - added)) + (other - added))
        columns = np.concatenate([sums, columns[2 * half :]])
    return columns[0], np.concatenate(errors)
