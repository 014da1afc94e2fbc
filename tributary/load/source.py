"""A file and its plan."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from tributary.errors import Misconfigured
from tributary.load import file, file_records, guess
from tributary.load.file_records import Lines
from tributary.load.plan import Overrides, Plan
from tributary.load.row import Reader, Row

SAMPLE_LINES = 1001  # a header and a thousand rows


class Source(NamedTuple):
    """A file and the plan for its columns."""

    path: Path
    plan: Plan


def survey(path: Path, overrides: Overrides) -> Source:
    """Plan how to read a file, from its beginning.

    Raises:
        Misconfigured: the file cannot be read, or not with these overrides.
    """
    head = list(islice(file.lines(path), SAMPLE_LINES))
    try:
        form = file_records.form_of(head, overrides.delimiter)
        sample = list(file_records.records(Lines(head), form))
        return Source(path, guess.plan(form, sample, overrides))
    except Misconfigured as error:
        raise Misconfigured(f"{path}: {error}") from None


def rows(source: Source, lines: Lines) -> Iterator[Row]:
    """The rows of a file from the position of `lines`."""
    return map(Reader(source.plan).read, file_records.records(lines, source.plan.form))
