"""The command `tributary`: one file per subcommand, imported when it is called."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from tributary import __version__
from tributary.errors import TributaryError

_COMMANDS = {
    "up": "everything on this machine, embedded server included",
    "ingest": "the HTTP role that records readings",
    "api": "the HTTP role that answers /collect and the read API",
    "aggregator": "the worker that keeps current values and averages",
    "simulate": "drive a fleet of cars against a running server",
    "load": "send a data set as readings",
    "token": "make, list and revoke credentials",
    "status": "what is accepted, applied, pending and lost",
    "top": "the same, live on a terminal",
    "doctor": "what is wrong with the server, the clock, settings and permissions",
    "health": "whether the role that runs here is well, for container checks",
    "dead": "list, show, replay and drop entries that could not be applied",
}
_HIDDEN = ("web",)


class _Commands(click.Group):
    """Imports a subcommand only when it is wanted: `--help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS and name not in _HIDDEN:
            return None
        command: click.Command = importlib.import_module(f"tributary.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: tributary up --port 8000",
)
@click.version_option(__version__, prog_name="tributary")
def cli() -> None:
    """Sensor readings in by POST, current values and rolling averages out in O(1)."""


def main() -> Any:
    """Run the command line: exit 0 on success, 1 on failure, 2 when something must be set right."""
    try:
        return cli()
    except TributaryError as error:
        click.echo(f"tributary: {error}", err=True)
        sys.exit(2)
