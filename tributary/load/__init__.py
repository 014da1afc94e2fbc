"""Data sets on their way to a server, each row once however often the load is repeated.

lines → records (`file_records`) → a plan (`plan`, from a sample) → readings or reasons (`row`):
so far it is pure. `loader` sends the readings and keeps the journal.
"""

from tributary.load.journal import Entry, Journal
from tributary.load.loader import Loader, Start
from tributary.load.source import Source, rows, survey
from tributary.load.tally import Tally

__all__ = ["Entry", "Journal", "Loader", "Source", "Start", "Tally", "rows", "survey"]
