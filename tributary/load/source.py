"""A file, and how it is to be read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from tributary.errors import Misconfigured
from tributary.load import file, file_records, guess
from tributary.load.file_records import Lines
from tributary.load.plan import Plan, Wishes
from tributary.load.row import Reader, Row

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
        form = file_records.form_of(head, wishes.delimiter)
        sample = list(file_records.records(Lines(head), form))
        return Source(path, guess.plan(form, sample, wishes))
    except Misconfigured as error:
        raise Misconfigured(f"{path}: {error}") from None


def rows(source: Source, lines: Lines) -> Iterator[Row]:
    """The rows of a file from where `lines` stands."""
    return map(Reader(source.plan).read, file_records.records(lines, source.plan.form))
