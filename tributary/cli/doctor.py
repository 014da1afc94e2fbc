"""`tributary doctor`: check the server, the clock, the settings and the permissions."""

from __future__ import annotations

import sys
from typing import Any

import click

from tributary.cli import options, plan_text, target
from tributary.errors import Misconfigured
from tributary.operate import capacity, capacity_load, diagnostics
from tributary.operate.diagnostics import Finding
from tributary.settings import of_data
from tributary.store import acl, redis_client

_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


_EXAMPLES = """\b
Example: tributary doctor --role aggregator --user worker
         tributary doctor --plan devices=20000 rate=1 metrics=3
         tributary doctor --plan devices=500 rate=0.1 batch=10 partitions=64
         tributary doctor --plan devices=20000 rate=1 metrics=3 keep=latest"""


@click.command("doctor", epilog=_EXAMPLES)
@click.option("--plan", "is_plan", is_flag=True, help="compute what a fleet needs; see below")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(list(acl.NEEDED)),
    help="role whose permissions to check; can be repeated [default: all]",
)
@click.option("--user", default="", help="Redis user to check [default: that of the URL]")
@click.argument("words", nargs=-1, metavar="[NAME=NUMBER]...")
@options.add(*options.RUNNING)
def command(
    *, is_plan: bool, words: tuple[str, ...], roles: tuple[str, ...], user: str, **given: Any
) -> None:
    """Check the environment of a deployment. Exit 1 if there is an error.

    Every finding names its remedy. Nothing is changed.

    With --plan, print the cores, memory and disk that a fleet needs, without looking at a
    deployment: devices=, rate= (readings per second of each), and optionally metrics= (per reading,
    1), batch= (readings per request, 1), partitions= (the setting, or 4), keep= (of every metric, as
    in the catalogue: latest, windows or all). docs/capacity.md explains how
    exact it is.
    """
    if is_plan:
        if roles or user or any(value is not None for value in given.values()):
            raise click.UsageError("--plan looks at no deployment; omit the other options")
        _plan(words)
        return
    if words:
        raise click.UsageError(f"{words[0]!r} needs --plan")
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


def _plan(words: tuple[str, ...]) -> None:
    given = options.load({})
    load = capacity_load.parse(words, of_data(given, None).partitions)
    settings = of_data(given, load.partitions)
    found = capacity.plan(load, settings)
    for line in plan_text.lines(found):
        click.echo(line)
    for warning in capacity.warnings(found, settings):
        click.echo(f"warning      {warning}")


def _print(finding: Finding) -> str:
    grade = click.style(f"{finding.grade:8}", fg=_COLOURS[finding.grade])
    click.echo(f"{grade} {finding.subject:12} {finding.text}")
    return finding.grade
