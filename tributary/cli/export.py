"""`tributary export`: readings or statistics as a file, read directly from the stores."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

import click
import redis
from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task
from rich.text import Text

from tributary.cli import interrupts, options, target, terminal
from tributary.errors import Unavailable
from tributary.model import export, reading
from tributary.model.export import FORMATS, WHATS, InvalidExport, Spec
from tributary.process.role import on_call
from tributary.settings import Settings
from tributary.store import redis_client

_STDOUT = Path("-")
_SUFFIXES = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}
_EPILOG = """\b
Example: tributary export cars.csv --device 'car-*' --metric engine_temperature
         tributary export days.parquet --what slots --slot 1d --from 2026-01-01T00:00:00Z
         tributary export --format ndjson | gzip > readings.ndjson.gz
"""


@click.command("export", epilog=_EPILOG)
@click.argument(
    "file", default=_STDOUT, type=click.Path(dir_okay=False, allow_dash=True, path_type=Path)
)
@click.option("--what", type=click.Choice(WHATS), default="readings", show_default=True)
@click.option("--format", type=click.Choice(FORMATS), help="default: by the name of the file")
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="PATTERN",
    help="only these devices; * matches any characters; repeatable",
)
@click.option(
    "--metric", "metrics", multiple=True, metavar="METRIC", help="only these metrics; repeatable"
)
@click.option("--from", "from_", metavar="TIME", help="only readings at or after this time")
@click.option("--to", metavar="TIME", help="only readings before this time")
@click.option("--slot", metavar="DURATION", help="length of slots, like 5m, 1h or 1d [default: 1h]")
@click.option("--overwrite", is_flag=True, help="replace an existing file")
@options.add(*options.RUNNING, "history_url", "raw_dir")
def command(*, file: Path, overwrite: bool, **given: Any) -> None:  # fmt: skip
    """Write readings, or statistics of slots, to FILE or standard output.

    It reads the streams, the raw files and the history directly, so it runs where they are; from
    elsewhere, use POST /api/v1/exports. FILE appears once it is complete. `tributary load` reads
    an export of readings without options.
    """
    interrupts.catch()
    spec = _spec(file, given)
    if file != _STDOUT and file.exists() and not overwrite:
        raise click.UsageError(f"{file} exists; add --overwrite to replace it")
    if file == _STDOUT and spec.format == "parquet" and sys.stdout.isatty():
        raise click.UsageError("Parquet is not text; name a FILE, or redirect the output")
    settings = target.find(given)
    try:
        with contextlib.closing(redis_client.connect(settings)) as client, _output(file) as out:
            result = _write(redis_client.adopt(client, settings), client, spec, out)
    except KeyboardInterrupt:
        _fail("interrupted; nothing was written" if file != _STDOUT else "interrupted")
    except BrokenPipeError:  # the reader of the pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Unavailable as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"cannot write to {file}: {error.strerror}")
    click.echo(_summary(result), err=True)


def _spec(file: Path, given: dict[str, Any]) -> Spec:
    """What the options ask for; they leave `given`."""
    format_ = given.pop("format") or ("csv" if file == _STDOUT else _SUFFIXES.get(file.suffix))
    if format_ is None:
        raise click.UsageError(f"the format of {file} is unknown; add --format {'|'.join(FORMATS)}")
    wanted = {name: given.pop(name) for name in ("what", "to", "slot")}
    wanted |= {name: list(given.pop(name)) or None for name in ("devices", "metrics")}
    try:
        return export.parse({**wanted, "format": format_, "from": given.pop("from_")})
    except InvalidExport as error:
        raise click.UsageError(str(error)) from None


@contextlib.contextmanager
def _output(file: Path) -> Iterator[IO[bytes]]:
    """The output; a file gets its name when it is complete, and is removed if it is not."""
    if file == _STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = file.with_name(f"{file.name}.part")
    try:
        with part.open("wb") as opened:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _write(settings: Settings, client: redis.Redis, spec: Spec, out: IO[bytes]) -> Any:
    """Write the export with a progress bar; its result."""
    source = on_call("jobs.export.work:source_of")(settings, client, spec)
    write: Callable[..., Any] = on_call("jobs.export.work:write")
    with terminal.progress(Console(stderr=True), _Rows()) as bar:
        return write(source, spec.format, out, _watch(bar))


def _watch(bar: Progress) -> Callable[[Any], None]:
    task = bar.add_task("export", total=1.0, rows=0)
    return lambda progress: bar.update(task, completed=progress.share, rows=progress.rows)


class _Rows(ProgressColumn):
    """Rows so far."""

    def render(self, task: Task) -> Text:
        """The number (called by rich)."""
        return Text(f"{task.fields['rows']:,} rows")


def _summary(result: Any) -> str:
    covered = result.covered
    if covered.to_ms is None:
        return f"{result.rows} rows: nothing was recorded yet"
    size, until = terminal.size(result.size_bytes), reading.rfc3339(covered.to_ms)
    since = "the beginning" if covered.from_ms is None else reading.rfc3339(covered.from_ms)
    return f"{result.rows} rows, {size}, of what arrived from {since} to {until}"


def _fail(message: str) -> NoReturn:
    click.echo(f"tributary: {message}", err=True)
    sys.exit(1)
