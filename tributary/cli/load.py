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

from tributary.cli import interrupts, load_table, options, terminal
from tributary.client import Tributary
from tributary.errors import Misconfigured, Unavailable
from tributary.load import Journal, Loader, Source, Start, Tally, file, rows, survey
from tributary.load.file_records import Lines
from tributary.load.plan import Overrides

_STATE_DIR = Path("~/.local/state/tributary/load")


@click.command(
    "load",
    epilog="Example: tributary load drivers.csv.gz --map COOLANT=engine_temperature --dry-run",
)
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE…",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
)
@options.server
@click.option("--device-column", metavar="COLUMN", help="column of the device")
@click.option("--time-column", metavar="COLUMN", help="column of recorded_at")
@click.option(
    "--map",
    "names",
    multiple=True,
    metavar="COLUMN=METRIC",
    help="set the metric of a column; COLUMN= leaves it out; repeatable",
)
@click.option("--delimiter", metavar="CHARACTER", help="column separator; tab for tabs")
@click.option(
    "--decimal",
    type=click.Choice([".", ","]),
    help="decimal mark of ambiguous numbers such as 1.234",
)
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
    """Load data sets, CSV or NDJSON, plain or gzip, as readings.

    The meaning of the columns is guessed and shown before anything is sent. Invalid rows are
    listed and skipped. After an interruption, run the command again to resume; rows that were
    loaded before are not sent again, even if the file was renamed, compressed or has grown.

    Exits 0 if everything is loaded, 1 if rows were skipped or refused or the server is
    unavailable, and 2 if an option or a file must be corrected.
    """
    interrupts.catch()
    out = terminal.console()
    overrides = _overrides(given)
    sources = [survey(path, overrides) for path in files]
    load_table.show(out, sources)
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


def _overrides(given: dict[str, Any]) -> Overrides:
    names = {}
    for pair in given["names"]:
        column, equals, metric = pair.rpartition("=")
        if not equals or not column:
            raise Misconfigured(f"--map {pair!r} is not of the form COLUMN=METRIC")
        names[column] = metric
    delimiter = {"tab": "\t", "\\t": "\t"}.get(given["delimiter"], given["delimiter"])
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise Misconfigured(
            f"--delimiter {delimiter!r} is not a single character; for tabs, use tab"
        )
    return Overrides(
        given["device_column"], given["time_column"], names, delimiter, given["decimal"]
    )


def _read_only(source: Source, tally: Tally) -> None:
    for row in rows(source, Lines(file.lines(source.path))):
        tally.add_row(source.path.name, row)


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
    name = terminal.printable(source.path.name)
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
    if tally.before:
        counts.append(f"loaded before {tally.before}")
    out.print(f"{', '.join(counts)} ({how})", style="bold", soft_wrap=True)
