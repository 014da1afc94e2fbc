"""`tributary load`: loads data sets; each row counts once, even if the load is repeated."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import DownloadColumn, Progress, ProgressColumn, Task
from rich.text import Text

from tributary import settings
from tributary.cli import interrupts, load_table, options, terminal
from tributary.client import Tributary
from tributary.errors import Misconfigured, Unavailable
from tributary.load import Journal, Loader, Options, Source, Start, Tally, content, rows, survey_all
from tributary.load.table import Lines
from tributary.model import catalogue, reading
from tributary.model.clock import utc_ms

_STATE_DIR = Path("~/.local/state/tributary/load")
_DELIMITERS = {"tab": "\t", "\\t": "\t", "blank": " ", "space": " "}


_EPILOG = """\b
Example: tributary load drivers.csv.gz --map COOLANT=engine_temperature --dry-run
         tributary load logs/ --device-from-filename --timezone Europe/Berlin
         tributary load log.csv --time-column Date --time-column Clock --day-first
         tributary load obd.csv --start 2025-10-05T14:22:00Z --device car-7
         tributary load ha.csv --metric-column entity --value-column state
"""
_OPTIONS = (
    click.option("--device", metavar="NAME", help="device of all rows"),
    click.option("--device-column", metavar="COLUMN", help="column of the device"),
    click.option("--device-from-filename", is_flag=True, help="name the device after the file"),
    click.option(
        "--time-column",
        "time_columns",
        metavar="COLUMN",
        multiple=True,
        help="column of recorded_at; twice for date and clock; none for the time of arrival",
    ),
    click.option(
        "--time-format",
        "time_formats",
        metavar="FORMAT",
        multiple=True,
        help="format of the times as of strptime, such as %d.%m.%Y %H:%M; or epoch, excel, s, ms, "
        "us, min, h; repeatable",
    ),
    click.option("--timezone", metavar="ZONE", help="of times without one [default: UTC]"),
    click.option("--start", metavar="TIME", help="what times that begin at zero count from"),
    click.option(
        "--day-first/--month-first",
        "is_day_first",
        default=None,
        help="order of dates such as 01/05/2025",
    ),
    click.option("--metric-column", metavar="COLUMN", help="column that names the metric"),
    click.option("--value-column", metavar="COLUMN", help="column of the values of such a table"),
    click.option("--unit-column", metavar="COLUMN", help="column of their units"),
    click.option(
        "--map",
        "names",
        multiple=True,
        metavar="COLUMN=METRIC",
        help="set the metric of a column; COLUMN= leaves it out; repeatable",
    ),
    click.option("--columns", metavar="A,B,…", help="names of the columns, if no line has them"),
    click.option("--skip-lines", type=click.IntRange(0, 900), default=0, help="above the table"),
    click.option("--comment", metavar="TEXT", default="", help="lines that begin so are skipped"),
    click.option(
        "--missing",
        metavar="VALUE",
        multiple=True,
        help="cell that stands for no value, such as -999; none for no such cells; repeatable",
    ),
    click.option("--delimiter", metavar="CHARACTER", help="column separator; tab, or blank"),
    click.option(
        "--decimal",
        type=click.Choice([".", ","]),
        help="decimal mark of ambiguous numbers such as 1.234",
    ),
)


def _all_options(function: options.Function) -> options.Function:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command("load", epilog=_EPILOG)
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE…",
    type=click.Path(exists=True, readable=True, path_type=Path),
)
@options.server
@_all_options
@click.option("--dry-run", is_flag=True, help="validate all rows, send nothing")
@click.option("--again", is_flag=True, help="also load what was loaded before; it counts again")
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=_STATE_DIR,
    show_default=True,
    help="directory of the journal of loaded files",
)
def command(files: tuple[Path, ...], *, dry_run: bool, **given: Any) -> None:
    """Load data sets as readings: CSV, NDJSON, Parquet; gzip, zip, folders.

    Every file is read completely and what was understood is shown before anything is sent. What
    is certain is loaded; a doubt ends the command and names the option that resolves it. Invalid
    rows are listed and skipped. After an interruption, run the command again to resume; rows that
    were loaded before are not sent again, even if the file was renamed, compressed or has grown.

    Exits 0 if everything is loaded, 1 if rows were skipped or refused or the server is
    unavailable, and 2 if an option or a file must be corrected.
    """
    interrupts.catch()
    out = terminal.console()
    chosen = settings.load(overrides={})
    given["oldest_ms"] = reading.time_ms(chosen.oldest_time)
    metrics = catalogue.load(chosen.metrics_file)  # its units are stored
    sources, left_out = survey_all(files, _options(given), metrics)
    load_table.show(out, sources, left_out)
    tally, began_at_s = Tally(), time.monotonic()
    if dry_run:
        for source in sources:
            _read_only(source, tally)
        _show_result(out, tally, f"dry run: {tally.rows} rows read, nothing sent")
        sys.exit(1 if tally.skipped else 0)
    with Tributary(given["url"], given["token"]) as client:
        journal = Journal(given["state_dir"].expanduser(), client.url)
        loader = Loader(client, journal, again=given["again"])
        error = _load_all(out, client, loader, sources, tally)
        _show_result(out, tally, f"{time.monotonic() - began_at_s:.1f} s")
        if error:
            click.echo(f"tributary: {error}", err=True)
        elif devices := loader.devices:
            out.print(f"see it: curl '{client.url}/collect?device={devices[0]}'", soft_wrap=True)
    sys.exit(1 if error or tally.skipped or tally.refused else 0)


def _options(given: dict[str, Any]) -> Options:
    names = {}
    for pair in given["names"]:
        column, equals, metric = pair.rpartition("=")
        if not equals or not column:
            raise Misconfigured(f"--map {pair!r} is not of the form COLUMN=METRIC")
        names[column] = metric
    devices = ("device", "device_column", "device_from_filename")
    chosen = [f"--{name.replace('_', '-')}" for name in devices if given[name]]
    if len(chosen) > 1:
        raise Misconfigured(f"{' and '.join(chosen)} exclude each other; give one of them")
    delimiter = _DELIMITERS.get(given["delimiter"], given["delimiter"])
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise Misconfigured(
            f"--delimiter {delimiter!r} is not a single character; for tabs, use tab"
        )
    columns = tuple(filter(None, (given["columns"] or "").split(",")))
    own = {name: value for name, value in given.items() if name in Options._fields}
    own |= {"names": names, "delimiter": delimiter, "columns": columns, "now_ms": utc_ms()}
    return Options(**own)


def _read_only(source: Source, tally: Tally) -> None:
    for row in rows(source, Lines(content.lines(source.content))):
        tally.add_row(source.name, row)


def _load_all(
    out: Console, client: Tributary, loader: Loader, sources: list[Source], tally: Tally
) -> str:
    """Load the files in order; the error that ended it early, or nothing."""
    is_reached = False
    bar = terminal.progress(out, DownloadColumn(binary_units=True), _Rate(tally))
    try:
        client.ping()
        is_reached = True
        with bar:
            for source in sources:
                _load(out, bar, loader, source, tally)
    except Unavailable as error:
        remedy = (
            "run the same command again to resume"
            if is_reached
            else "start a server with `tributary up`, or pass its address with --url"
        )
        return f"{error}; {remedy}"
    except KeyboardInterrupt:
        return "interrupted; run the same command again to resume"
    return ""


def _load(out: Console, bar: Progress, loader: Loader, source: Source, tally: Tally) -> None:
    start = loader.start(source)
    name = terminal.printable(source.name)
    if note := _note(start):
        out.print(f"{name}: {note}", soft_wrap=True)
    task = bar.add_task(name, total=start.size_bytes, completed=start.entry.done_bytes)
    loader.load(source, start, tally, lambda done: bar.update(task, completed=done))


def _note(start: Start) -> str:
    """A note about an earlier load of this file."""
    before = start.before
    if before is None:
        return ""
    loaded = f"{before.rows} readings were loaded, the last at {before.loaded_at}"
    if start.is_forgotten:
        return f"{loaded}, but the server has none of its devices: loading from the beginning"
    if start.is_done:
        return f"already loaded: {loaded}; nothing is sent (--again loads it again)"
    if start.entry.done_bytes == 0:
        return f"{loaded}; loading it again, so that it counts twice"
    changed = "" if start.entry.plan_sha256 == before.plan_sha256 else ", with a different plan"
    return f"{loaded}; resuming at line {before.done_lines + 1}{changed}"


class _Rate(ProgressColumn):
    """Rows per second since the start."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def render(self, task: Task) -> Text:
        """The rate (called by rich)."""
        return Text(f"{self._tally.rows / max(task.elapsed or 0.0, 0.1):,.0f} rows/s")


def _show_result(out: Console, tally: Tally, how: str) -> None:
    for warning in tally.warnings:
        out.print(terminal.plain(warning), style="yellow", soft_wrap=True)
    more = tally.warned - len(tally.warnings)
    if more:
        out.print(f"… and {more} more", style="yellow")
    counts = [
        f"sent {tally.sent}",
        f"accepted {tally.accepted}",
        f"refused {tally.refused}",
        f"skipped {tally.skipped}",
    ]
    if tally.duplicates:
        counts.append(f"already on the server {tally.duplicates}")
    if tally.empty:
        counts.append(f"without values {tally.empty}")
    if tally.before:
        counts.append(f"loaded before {tally.before}")
    out.print(f"{', '.join(counts)} ({how})", style="bold", soft_wrap=True)
