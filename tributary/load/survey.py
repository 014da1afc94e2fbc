"""Looks at whole files and makes their plans before the first reading is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from tributary.errors import Misconfigured
from tributary.load import content as contents
from tributary.load import (
    exported,
    layout,
    long_role,
    names,
    roles,
    table,
    time_reader,
    time_role,
    times,
)
from tributary.load.content import Content
from tributary.load.evidence import Evidence
from tributary.load.plan import NoMetrics, Options, Plan
from tributary.load.row import Reader, Row
from tributary.load.table import Lines
from tributary.model import reading
from tributary.model.catalogue import Catalogue

_HALF_DAY_MS = 43_200_000
_DOUBTS_SHOWN = 5  # of several files


class Span(NamedTuple):
    """The first and last time of a file, and how many rows have none or one before the oldest."""

    first_ms: int | None = None
    last_ms: int | None = None
    unreadable: int = 0
    too_old: int = 0


class Source(NamedTuple):
    """A file and the plan for its columns."""

    content: Content
    plan: Plan
    rows: int
    span: Span

    @property
    def name(self) -> str:
        """The name of the file for messages."""
        return self.content.name


def survey_all(
    paths: Iterable[Path], options: Options, metrics: Catalogue
) -> tuple[list[Source], list[str]]:
    """Plan how to read files, folders and archives; and what is left out, with the reason.

    Raises:
        Misconfigured: one cannot be read with certainty; the message names the remedy.
    """
    given = list(paths)
    found, left_out = contents.expand(given)
    sources = []
    notes = [f"{name}: not CSV, NDJSON or Parquet" for name in left_out]
    doubts = []
    for content in found:
        try:
            sources.append(survey(content, options, metrics))
        except NoMetrics as error:
            if content in map(Content, given) or len(found) == 1:  # not one of a folder or archive
                raise Misconfigured(f"{content.path}: {error}") from None
            notes.append(f"{content.name}: {error}")
        except Misconfigured as error:
            doubts.append(str(error))
    if doubts:
        raise Misconfigured(_listed(doubts, len(found)))
    if not sources:
        raise Misconfigured("; ".join(notes))
    _refuse_merging(sources)
    return sources, notes


def _listed(doubts: list[str], count: int) -> str:
    """The doubts about files as one message."""
    if count == 1:
        return doubts[0]
    more = f"\n  and {len(doubts) - _DOUBTS_SHOWN} more" if len(doubts) > _DOUBTS_SHOWN else ""
    shown = "\n  ".join(doubts[:_DOUBTS_SHOWN])
    return (
        f"{len(doubts)} of {count} files cannot be read with certainty, so nothing is loaded:\n  {shown}{more}\n"
        "give these options, or pass the other files only"
    )


def survey(content: Content, options: Options, metrics: Catalogue) -> Source:
    """Plan how to read a file, from all of it.

    Raises:
        Misconfigured: the file cannot be read, or something is doubtful.
    """
    try:
        form = layout.form_of(list(islice(contents.lines(content), layout.HEAD_LINES)), options)
        keys: dict[str, int] | None = {} if form.name == "NDJSON" else None
        evidence = Evidence(form.columns, long_role.missing(options))
        evidence.add_all(
            table.records(Lines(contents.lines(content), is_hashed=False), form, keys), keys
        )
        form = form._replace(columns=tuple(evidence.columns))
        _refuse_malformed(evidence, form)
        options = exported.options_for(evidence, options)
        plan = roles.plan(form, evidence, options, content.stem, metrics)
        span = _span(content, plan, options.now_ms)
    except NoMetrics:
        raise
    except Misconfigured as error:
        raise Misconfigured(f"{_place(content)}: {error}") from None
    return Source(content, plan, evidence.rows, span)


def rows(source: Source, lines: Lines) -> Iterator[Row]:
    """The rows of a file from the position of `lines`."""
    return map(Reader(source.plan).read, table.records(lines, source.plan.form))


def _place(content: Content) -> str:
    return f"{content.path}/{content.member}" if content.member else str(content.path)


def _refuse_malformed(evidence: Evidence, form: table.Form) -> None:
    if evidence.malformed and not evidence.rows and form.name == "NDJSON":
        raise NoMetrics("no line of it is a JSON object; write one object per line (jq -c)")
    if evidence.malformed > evidence.rows:
        raise Misconfigured(
            f"{evidence.malformed} of {evidence.malformed + evidence.rows} rows do not have as many "
            "cells as there are columns; give the --delimiter, or name the columns with --columns"
        )


def _span(content: Content, plan: Plan, now_ms: int) -> Span:
    """The times of all rows.

    Raises:
        Misconfigured: too few can be read, or they pass midnight without a date.
    """
    if plan.time is None:
        return Span()
    read = time_reader.compiled(plan.time, plan.form.columns)
    at = [plan.form.columns.index(name) for name in plan.time.columns]
    unreadable = empty = too_old = good = 0
    first, last, before = 1 << 62, -1, -1
    reason = ""
    for record in table.records(Lines(contents.lines(content), is_hashed=False), plan.form):
        if record.cells is None:
            continue
        try:
            time_ms = read(record.cells)
        except time_reader.EmptyTime:
            empty += 1
            continue
        except ValueError as error:
            _refuse_header(record, at)
            unreadable += 1
            reason = reason or f"line {record.line}: {error}"
            continue
        if time_ms < plan.oldest_ms:
            too_old += 1
            continue
        if plan.time.kind == "clock" and time_ms < before - _HALF_DAY_MS:
            raise Misconfigured(
                f"line {record.line}: {plan.time.columns[0]} passes midnight, but no column has a date; "
                "split the file into days, each with its --start"
            )
        good += 1
        first, last, before = min(first, time_ms), max(last, time_ms), time_ms
    found = Span(first if good else None, last if good else None, unreadable, too_old)
    _refuse_unreadable(found, good, reason, plan, now_ms)
    return found._replace(unreadable=unreadable + empty)


def _refuse_header(record: table.Record, at: list[int]) -> None:
    if any(
        names.time_rank(cell) is not None for n in at for cell in (record.cells or [])[n : n + 1]
    ):
        raise Misconfigured(time_role.SEVERAL_TABLES.format(f"line {record.line}")) from None


def _refuse_unreadable(span: Span, good: int, reason: str, plan: Plan, now_ms: int) -> None:
    if now_ms and span.first_ms is not None and span.first_ms > now_ms + times.DAY_MS:
        raise Misconfigured(
            f"all times are in the future, the first is {reading.rfc3339(span.first_ms)}; give their "
            "notation with --time-format, or what they count from with --start"
        )
    if not good and span.too_old:
        raise Misconfigured(
            f"all times are before {reading.rfc3339(plan.oldest_ms)[:10]}; give their notation with "
            "--time-format, what they count from with --start, or --time-column none"
        )
    if span.unreadable > (good + span.too_old + span.unreadable) * (1 - time_role.READABLE_MIN):
        raise Misconfigured(
            f"{span.unreadable} times cannot be read, the first in {reason}; give their notation "
            "with --time-format, or another --time-column"
        )


def _refuse_merging(sources: list[Source]) -> None:
    """Refuse to merge files without a device into one."""
    bare = [source for source in sources if source.plan.device.is_default]
    if len(bare) > 1 or (bare and len(sources) > 1):
        raise Misconfigured(
            f"{bare[0].name} and {len(sources) - 1} more files: no column contains the device, so "
            "their rows would be merged; give --device-from-filename, or --device NAME"
        )
    by_metric: dict[tuple[str, str], Source] = {}
    for source in sources:
        device = source.plan.device
        if device.column is not None or source.span.first_ms is None:
            continue
        for column in source.plan.metrics:
            other = by_metric.setdefault((device.name, column.metric), source)
            if other.content != source.content and _overlap(other, source):
                raise Misconfigured(
                    f"{other.name} and {source.name} both have {column.metric} of {device.name} at "
                    "the same times; give --device-from-filename, or load them one by one with --map"
                )


def _overlap(one: Source, two: Source) -> bool:
    a, b = one.span, two.span
    if None in (a.first_ms, a.last_ms, b.first_ms, b.last_ms):
        return False
    return bool(a.first_ms < b.last_ms and b.first_ms < a.last_ms)  # type: ignore[operator]
