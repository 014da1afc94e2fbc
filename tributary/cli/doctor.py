"""`tributary doctor`: what is wrong with the server, the clock, the settings and the permissions."""

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
    help="whose permissions to look at; may be repeated [default: all]",
)
@click.option("--user", default="", help="user of Redis to look at [default: that of the URL]")
@options.add(*options.RUNNING)
def command(*, roles: tuple[str, ...], user: str, **given: Any) -> None:
    """Examine where Tributary runs; each finding has its remedy. Exit 1 on errors.

    Nothing is changed, neither in Redis nor here.
    """
    try:
        settings = target.find(given)
        client = redis_client.connect(settings)
    except Misconfigured as error:
        _say(Finding("settings", "error", str(error)))
        sys.exit(1)
    _say(Finding("settings", "ok", "all are valid"))
    findings = diagnostics.run(client, settings, list(roles or acl.NEEDED), user)
    grades = [_say(finding) for finding in findings]
    sys.exit(int("error" in grades))


def _say(finding: Finding) -> str:
    grade = click.style(f"{finding.grade:8}", fg=_COLOURS[finding.grade])
    click.echo(f"{grade} {finding.subject:12} {finding.text}")
    return finding.grade
