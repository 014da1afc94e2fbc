"""`tributary doctor`: check the server, the clock, the settings and the permissions."""

from __future__ import annotations

import sys
from typing import Any

import click

from tributary.cli import options, target
from tributary.errors import Misconfigured
from tributary.operate import diagnostics
from tributary.operate.diagnostics import Finding
from tributary.store import acl, redis_client

_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


@click.command("doctor", epilog="Example: tributary doctor --role aggregator --user worker")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(list(acl.NEEDED)),
    help="role whose permissions to check; can be repeated [default: all]",
)
@click.option("--user", default="", help="Redis user to check [default: that of the URL]")
@options.add(*options.RUNNING)
def command(*, roles: tuple[str, ...], user: str, **given: Any) -> None:
    """Check the environment of a deployment. Exit 1 if there is an error.

    Every finding names its remedy. Nothing is changed.
    """
    try:
        settings = target.find(given)
        client = redis_client.connect(settings)
    except Misconfigured as error:
        _print(Finding("settings", "error", str(error)))
        sys.exit(1)
    _print(Finding("settings", "ok", "all are valid"))
    findings = diagnostics.run(client, settings, list(roles or acl.NEEDED), user)
    grades = [_print(finding) for finding in findings]
    sys.exit(int("error" in grades))


def _print(finding: Finding) -> str:
    grade = click.style(f"{finding.grade:8}", fg=_COLOURS[finding.grade])
    click.echo(f"{grade} {finding.subject:12} {finding.text}")
    return finding.grade
