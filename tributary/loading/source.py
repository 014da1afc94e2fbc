"""A file, and how it is to be read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from tributary.dataset import file, guess, record
from tributary.dataset.plan import Plan, Wishes
from tributary.dataset.record import Lines
from tributary.dataset.row import Reader, Row
from tributary.errors import Misconfigured

SAMPLE_LINES = 1001  # a line of names and a thousand rows


class Source(NamedTuple):
    """A file and the plan for its columns."""

    path: Path
    plan: Plan


def survey(path: Path, wishes: Wishes) -> Source:
    """Look at the beginning of a file, and guess how to read it.

    Raises:
        Misconfigured: it cannot be read, or not as wished.
    """
    head = list(islice(file.lines(path), SAMPLE_LINES))
    try:
        form = record.form_of(head, wishes.delimiter)
        sample = list(record.records(Lines(head), form))
        return Source(path, guess.plan(form, sample, wishes))
    except Misconfigured as error:
        raise Misconfigured(f"{path}: {error}") from None


def rows(source: Source, lines: Lines) -> Iterator[Row]:
    """The rows of a file from where `lines` stands."""
    return map(Reader(source.plan).read, record.records(lines, source.plan.form))
