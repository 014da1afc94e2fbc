"""Loads data sets into a server; each row counts once, even if the load is repeated.

lines → records (`file_records`) → a plan (`plan`, from a sample) → readings or reasons (`row`):
up to here it is pure. `loader` sends the readings and writes the journal.
"""

from tributary.load.journal import Entry, Journal
from tributary.load.loader import Loader, Start
from tributary.load.source import Source, rows, survey
from tributary.load.tally import Tally

__all__ = ["Entry", "Journal", "Loader", "Source", "Start", "Tally", "rows", "survey"]
