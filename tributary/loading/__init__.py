"""Data sets on their way to a server, each row once however often the load is repeated."""

from tributary.loading.journal import Entry, Journal
from tributary.loading.loader import Loader, Start
from tributary.loading.source import Source, rows, survey
from tributary.loading.tally import Tally

__all__ = ["Entry", "Journal", "Loader", "Source", "Start", "Tally", "rows", "survey"]
