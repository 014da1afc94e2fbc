"""Loads data sets into a server; each row counts once, even if the load is repeated.

Every file is read twice before anything is sent. `content` yields it as UTF-8 lines, `layout` finds
its delimiter and header, `table` its records, `evidence` what the cells of all rows show. From that
the roles (`device_role`, `time_role`, `long_role`, `metric_role`) make a `plan`, or refuse with the
option that resolves a doubt; then all times are read once. `row` makes readings of records, and
`loader` sends them and writes the journal.
"""

from tributary.load.journal import Entry, Journal
from tributary.load.loader import Loader, Start
from tributary.load.plan import Options
from tributary.load.survey import Source, rows, survey_all
from tributary.load.tally import Tally

__all__ = [
    "Entry",
    "Journal",
    "Loader",
    "Options",
    "Source",
    "Start",
    "Tally",
    "rows",
    "survey_all",
]
