"""Evaluates a parsed query at every time of a request."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import singledispatchmethod
from itertools import islice

import numpy as np
import promql_parser as syntax

from api.prometheus import aggregations, bounds, functions, resolution, sampling
from api.prometheus.arithmetic import COMPARISONS, Modifier, combined
from api.prometheus.bounds import unsupported
from api.prometheus.promql import Query
from api.prometheus.resolution import LOOK_BACK_MS, Choice, Steps
from api.prometheus.series_index import SeriesIndex
from api.prometheus.vectors import Element, Floats, Points, Scalar, Value, Vector
from api.read.series_reader import SeriesSpan
from api.read.sources import Sources
from api.read.span import Span, duration
from tributary.model.groups import Ints

_Sample = Callable[[SeriesSpan, Choice], Points]
_MILLISECOND = timedelta(milliseconds=1)


class Evaluator:
    """Evaluates the expressions of one query; `infos` say what is approximate in the result."""

    def __init__(self, query: Query, steps: Steps, index: SeriesIndex) -> None:
        self.infos: set[str] = set()
        self._query = query
        self._steps = steps
        self._index = index
        self._series_read = 0
        self.times_ms = steps.first_ms + np.arange(steps.number, dtype=np.int64) * steps.step_ms

    def run(self) -> Value:
        """The value of the query.

        Raises:
            Refused: 400 for what is not supported, 422 if it cannot be evaluated.
            Unavailable: Redis or the history is, or the query takes too long.
        """
        return self._value(self._query.root)

    @singledispatchmethod
    def _value(self, expression: syntax.Expr) -> Value:
        raise unsupported(type(expression).__name__)

    @_value.register
    def _(self, expression: syntax.NumberLiteral) -> Value:
        return self._number(expression.val)

    @_value.register
    def _(self, expression: syntax.StringLiteral) -> Value:
        raise unsupported("a text as a value")

    @_value.register
    def _(self, expression: syntax.ParenExpr) -> Value:
        return self._value(expression.expr)

    @_value.register
    def _(self, expression: syntax.UnaryExpr) -> Value:
        plain = Modifier(is_bool=False, names=(), is_on=False)
        return combined("*", self._value(expression.expr), self._number(-1), plain)

    @_value.register
    def _(self, expression: syntax.SubqueryExpr) -> Value:
        raise unsupported("a subquery")

    @_value.register
    def _(self, expression: syntax.MatrixSelector) -> Value:
        raise unsupported("a range selector outside of a function: single readings are not kept")

    @_value.register
    def _(self, expression: syntax.VectorSelector) -> Value:
        return self._latest(expression, LOOK_BACK_MS)

    @_value.register
    def _(self, expression: syntax.BinaryExpr) -> Value:
        modifier = _modifier(expression)
        operator = str(expression.op)
        left, right = self._value(expression.lhs), self._value(expression.rhs)
        return combined(operator, left, right, modifier)

    @_value.register
    def _(self, expression: syntax.AggregateExpr) -> Value:
        operator, given = str(expression.op), expression.modifier
        names = () if given is None else tuple(given.labels)
        is_without = given is not None and given.type == syntax.AggModifierType.Without
        if operator in aggregations.RANKS:
            limits = _scalar(self._value(expression.param))
            vector = _vector(self._value(expression.expr))
            return aggregations.ranked(operator, vector, limits, names, is_without=is_without)
        if operator not in aggregations.OPERATORS:
            raise unsupported(operator)
        vector = _vector(self._value(expression.expr))
        return aggregations.aggregated(operator, vector, names, is_without=is_without)

    @_value.register
    def _(self, expression: syntax.Call) -> Value:
        name, arguments = expression.func.name, expression.args
        if name == "last_over_time" or name in sampling.OVER:
            return self._over(name, arguments[0])
        if name in functions.COUNTERS:
            return self._increase(name, arguments[0])
        if name == "absent":
            labels: dict[str, str] = {}
            if isinstance(arguments[0], syntax.VectorSelector):
                labels = self._query.selection(arguments[0]).equal_labels()
            return functions.absent(_vector(self._value(arguments[0])), labels, self.times_ms)
        if name not in functions.SUPPORTED:
            raise unsupported(f"the function {name}")
        return functions.call(name, [self._value(each) for each in arguments], self.times_ms)

    def _over(self, name: str, argument: syntax.Expr) -> Vector:
        if not isinstance(argument, syntax.MatrixSelector):
            raise unsupported("a subquery")
        selector, range_ms = argument.vector_selector, _milliseconds(argument.range)
        if name == "last_over_time":
            return self._latest(selector, range_ms)
        steps = self._shifted(selector)

        def choose(sources: Sources) -> Choice:
            return resolution.for_range(steps, range_ms, sources)

        def sample(read: SeriesSpan, _choice: Choice) -> Points:
            return sampling.over(read.cells, self._times(selector), range_ms, name)

        note = "begin in the range, whose ends are not those of slots"
        names = self._with_slots(self._names(selector))
        return functions.nameless(self._read(names, choose, sample, note))

    def _with_slots(self, names: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Leave out series without windows and history; raises if these are all of them."""
        catalogue = self._index.reader.view.catalogue
        found = [name for name in names if catalogue[name[1]].keep != "latest"]
        left_out = sorted({metric for _, metric in names} - {metric for _, metric in found})
        if left_out and not found:
            raise bounds.execution(
                f"{', '.join(left_out[:3])}: only the latest value is kept, because of keep = "
                '"latest" in the catalogue of metrics; select it without a range, or change keep'
            )
        self.infos.update(f'{metric}: left out, because of keep = "latest"' for metric in left_out)
        return found

    def _increase(self, name: str, argument: syntax.Expr) -> Vector:
        """`increase` or `rate`: from windows, since the history has no increases."""
        counters = self._index.reader.view.declared.counters
        if not isinstance(argument, syntax.MatrixSelector):
            raise unsupported("a subquery")
        selector, range_ms = argument.vector_selector, _milliseconds(argument.range)
        names = self._names(selector)
        wanted = {metric for _, metric in names} | ({selector.name} if selector.name else set())
        for metric in sorted(wanted - counters.keys()):
            raise functions.not_a_counter(name, metric)
        if name not in ("increase", "rate"):
            raise unsupported(f"the function {name}")
        steps = self._shifted(selector)
        within = sampling.Range(self._times(selector), range_ms)

        def choose(sources: Sources) -> Choice:
            longest = max((window.length_ms for window in sources.windows), default=0)
            if steps.first_ms - range_ms < sources.now_ms - longest:
                self.infos.add(f"{name}: known within the last {duration(longest)}")
            return resolution.for_range(steps, range_ms, sources._replace(kept=()))

        def sample(read: SeriesSpan, choice: Choice) -> Points:
            series = None if read.series is None else read.series.unpacked
            found = sampling.increase(series, read.cells, choice.span.parts, within)
            per = 1.0 if name == "increase" else range_ms / 1000
            return found._replace(values=found.values / per)

        note = "begin in the range, whose ends are not those of slots"
        return functions.nameless(self._read(names, choose, sample, note))

    def _latest(self, selector: syntax.VectorSelector, look_back_ms: int) -> Vector:
        steps = self._shifted(selector)

        def choose(sources: Sources) -> Choice:
            return resolution.for_latest(steps, look_back_ms, sources)

        def sample(read: SeriesSpan, choice: Choice) -> Points:
            newest = sampling.NOTHING
            if read.series is not None:
                newest = sampling.Newest.of(read.series.unpacked)
            reach_ms = look_back_ms, max(look_back_ms, choice.span.slot_ms)
            return sampling.latest(newest, read.cells, self._times(selector), reach_ms)

        names, note = self._names(selector), "are longer than the time looked back"
        return self._read(names, choose, sample, note)

    def _read(
        self,
        names: list[tuple[str, str]],
        choose: Callable[[Sources], Choice],
        sample: _Sample,
        note: str,
    ) -> Vector:
        """Read and sample series; `note` says what an inexact choice means."""
        found = []
        for device, metric in names:
            self._index.deadline.check()
            chosen: list[Choice] = []

            def span_of(sources: Sources, chosen: list[Choice] = chosen) -> Span:
                chosen.append(choose(sources))
                return chosen[-1].span

            read = self._index.reader.read_or_empty((device, metric), span_of, self._index.token)
            points = sample(read, chosen[-1])
            if points.is_present.any():
                if not chosen[-1].is_close:
                    self.infos.add(f"{metric}: from slots of {chosen[-1].slot}, which {note}")
                labels = (("__name__", metric), ("device", device))
                found.append(Element(labels, points))
        return found

    def _names(self, selector: syntax.VectorSelector) -> list[tuple[str, str]]:
        """The series of a selector, within the bounds of the query."""
        series = self._index.find(self._query.selection(selector))
        limit = min(bounds.SERIES_MAX, bounds.SAMPLES_MAX // self._steps.number)
        names = [known[:2] for known in islice(series, limit - self._series_read + 1)]
        self._series_read += len(names)
        if self._series_read > limit:
            raise bounds.execution(
                f"the query selects more than {limit} series at {self._steps.number} times; select "
                f"fewer devices, or use a longer step: at most {bounds.SERIES_MAX} series and "
                f"{bounds.SAMPLES_MAX} values are computed for a query"
            )
        return names

    def _shifted(self, selector: syntax.VectorSelector) -> Steps:
        return self._steps.shifted(_milliseconds(selector.offset))

    def _times(self, selector: syntax.VectorSelector) -> Ints:
        return self.times_ms - _milliseconds(selector.offset)

    def _number(self, value: float) -> Scalar:
        return Scalar(np.full(len(self.times_ms), value, np.float64))


def _modifier(expression: syntax.BinaryExpr) -> Modifier:
    """The modifier of an operator; raises for those that are not supported."""
    given, operator = expression.modifier, str(expression.op)
    if given is None:
        return Modifier(is_bool=False, names=(), is_on=False)
    if given.group_labels is not None:
        raise unsupported("group_left and group_right")
    fill = given.fill_values
    if fill is not None and (fill.lhs is not None or fill.rhs is not None):
        raise unsupported("fill")
    names = () if given.matching is None else tuple(given.matching.labels)
    is_on = given.matching is not None and given.matching.type == syntax.LabelModifierType.Include
    return Modifier(given.return_bool and operator in COMPARISONS, names, is_on)


def _vector(value: Value) -> Vector:
    assert isinstance(value, list)  # the parser checks types
    return value


def _scalar(value: Value) -> Floats:
    assert isinstance(value, Scalar)
    return value.values


def _milliseconds(length: timedelta | None) -> int:
    return 0 if length is None else length // _MILLISECOND
