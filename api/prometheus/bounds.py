"""The bounds of a query, and the errors beyond them and for what is not supported."""

from __future__ import annotations

import time
from typing import NamedTuple

from tributary.errors import Overloaded, Refused

QUERY_MAX = 20_000  # characters
OPERATIONS_MAX = 200  # operators and parentheses: the parser is recursive, and slow beyond
REGEX_MAX = 10_000  # characters
POINTS_MAX = 11_000  # of one series, as in Prometheus
SERIES_MAX = 2_000  # read for one query
SAMPLES_MAX = 1_000_000  # series times points of one query
DEVICES_MAX = 100_000  # searched for one selector that does not name its devices
NAMES_MAX = 10_000  # label values or series in a response
SELECTORS_MAX = 20  # match[] of one request
SLOTS_MAX = 11_000  # of one series, unless only wider slots were kept
RUN_MAX_MS = 20_000
WAIT_MAX_S = 2.0  # for other queries to end
SUPPORTED = (
    "this subset of PromQL has selectors with = != =~ !~ and offset, + - * / % ^ atan2, "
    "comparisons, and or unless, on and ignoring, sum avg min max count group stddev stdvar topk "
    "bottomk by and without, avg min max sum count last present stddev and stdvar _over_time, "
    "increase and rate of counters, and "
    "abs absent ceil clamp clamp_max clamp_min exp floor ln log10 log2 round scalar sgn sort "
    "sort_desc sqrt time vector"
)


def bad_data(message: str, field: str = "query") -> Refused:
    """400: the request is wrong, whatever is stored."""
    return Refused(message, status=400, code="bad_data", field=field)


def unsupported(what: str) -> Refused:
    """400: valid PromQL that Tributary does not evaluate."""
    return bad_data(f"{what} is not supported; {SUPPORTED}")


def execution(message: str) -> Refused:
    """422: the query cannot be evaluated on what is stored."""
    return Refused(message, status=422, code="execution", field="query")


class QueryTimeout(Overloaded):
    """The query takes too long."""

    code = "timeout"


class Deadline(NamedTuple):
    """When a query has to end, on the monotonic clock."""

    at_s: float
    limit_ms: int

    @classmethod
    def after(cls, limit_ms: int) -> Deadline:
        """A deadline after some time."""
        return cls(time.monotonic() + limit_ms / 1000, limit_ms)

    def check(self) -> None:
        """Raise `QueryTimeout` (503) once the time is over."""
        if time.monotonic() > self.at_s:
            raise QueryTimeout(
                f"the query took longer than {self.limit_ms} ms; select fewer devices or a "
                "shorter time, or raise timeout if the request has one"
            )
