"""The command `tributary`: one file per subcommand, imported when it is called."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click
from click.exceptions import NoSuchCommand

from tributary import __version__
from tributary.cli import roles
from tributary.errors import NotRunning, TributaryError


def _summaries() -> dict[str, str]:
    """What each command does, in the order of `--help`."""
    return {
        "up": "run everything on this machine, with an embedded server",
        **{name: entry.summary for name, entry in roles.ROLES.items()},
        "simulate": "send the readings of a simulated fleet of cars",
        "load": "send data sets as readings",
        "export": "write readings or statistics to a file",
        "token": "create, list and revoke access tokens",  # nosec B105 (a description)
        "status": "counts of accepted, applied, pending and lost readings",
        "top": "the same as status, live on a terminal",
        "doctor": "check the server, the clock, settings and permissions",
        "health": "check a role on this machine, for container health checks",
        "audit": "recompute aggregates and history from the stream, and compare",
        "alerts": "list the alerts that are pending or firing",
        "dead": "list, show, replay and drop entries that could not be applied",
        "forget": "delete everything about a device, or all that match a pattern",
    }


class _Commands(click.Group):
    """Imports a subcommand only when it is called, so that `--help` is fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_summaries())

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if (name in roles.ROLES and name != "jobs") or name == "web":
            from tributary.cli import role

            return role.web if name == "web" else role.command(name)
        if name not in _summaries():
            return None
        command: click.Command = importlib.import_module(f"tributary.cli.{name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:  # click knows the commands only after they are imported
            raise NoSuchCommand(error.command_name, possibilities=_summaries(), ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_summaries().items()))


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: tributary up --port 8000",
)
@click.version_option(__version__, prog_name="tributary")
def cli() -> None:
    """Record sensor readings; collect current values and rolling averages in O(1)."""


def main() -> Any:
    """Run the command line. Exit 0: success, 1: failure, 2: invalid usage or configuration."""
    roles.make_importable()
    try:
        return cli()
    except TributaryError as error:
        click.echo(f"tributary: {error}", err=True)
        sys.exit(1 if isinstance(error, NotRunning) else 2)
