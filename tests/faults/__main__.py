"""`scripts/chaos`: one fault, some minutes of all, or the whole proof."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

import click
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from faults import failover_command, fault_report, fault_run, kill_command, tree
from faults.fault_catalogue import CATALOGUE, Fault, find
from faults.proof import CLAIMS
from tributary import settings as settings_
from tributary.errors import Misconfigured

_STORM_S = 60.0


def _given(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> Any:
    """Settings named on the command line, checked as those of a role are."""
    names = dict(value.split("=", 1) for value in values if "=" in value)
    if len(names) < len(values):
        raise click.BadParameter("give it as NAME=VALUE, for example lane=false")
    environ = {settings_.PREFIX + name.upper(): value for name, value in names.items()}
    try:
        loaded = settings_.load(environ)
    except Misconfigured as error:
        raise click.BadParameter(str(error)) from None
    return {name: getattr(loaded, name) for name in names}


_shared = [
    click.option("--seed", type=int, help="decides everything random; printed if not given"),
    click.option("--write", is_flag=True, help="put the results into docs/reliability.md"),
    click.option("--setting", "given", multiple=True, callback=_given, metavar="NAME=VALUE",
                 help="a setting of the roles under test; may be repeated"),
    click.option("--keys/--no-keys", default=True, show_default=True,
                 help="send with an Idempotency-Key and retry until answered"),
]  # fmt: skip


def _with_shared(function: Any) -> Any:
    for option in reversed(_shared):
        function = option(function)
    return function


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: scripts/chaos --only F7 --seed 3",
)
@click.option("--minutes", default=3.0, show_default=True, help="how long, without --only")
@click.option("--only", metavar="FAULT", multiple=True, help="this fault; may be repeated; `all`")
@click.option("--times", default=0, help="how often to inject it; 0: as the catalogue says")
@_with_shared
@click.pass_context
def chaos(context: click.Context, /, minutes: float, **asked: Any) -> None:
    """Break Tributary under load, and count what was acknowledged against what was counted."""
    if context.invoked_subcommand is not None:
        return
    table = "faults" if asked["write"] else ""
    if asked["only"]:
        chosen = [(fault, asked["times"] or fault.times) for fault in _chosen(asked["only"])]
        _finish(_each(chosen, _order(asked)), table)
    else:
        _finish(_storms(_order(asked), minutes * 60), table)


@chaos.command("list")
def list_() -> None:
    """Name every fault."""
    for fault in CATALOGUE:
        mark = "storm" if fault.storm else ""
        click.echo(f"{fault.id:<5} {fault.times:>5} times  {mark:<6} {fault.title}")


@chaos.command(epilog="Example: scripts/chaos proof --write")
@click.option("--part", default=1.0, show_default=True, help="share of the counts, for a rehearsal")
@_with_shared
def proof(part: float, **asked: Any) -> None:
    """Inject every fault as often as the claim says; some tens of minutes."""
    claims = [(claim.fault, max(1, round(claim.times * part))) for claim in CLAIMS]
    _finish(_each(claims, _order(asked)), "proof" if asked["write"] else "")


def _order(asked: dict[str, Any]) -> fault_run.Order:
    """What the shared options ask for, with a fresh seed if none was named."""
    seed = asked["seed"]
    seed = random.SystemRandom().randrange(1 << 16) if seed is None else seed
    return fault_run.Order(seed, given=asked["given"], is_keyed=asked["keys"])


def _chosen(names: tuple[str, ...]) -> list[Fault]:
    if names == ("all",):
        return list(CATALOGUE)
    try:
        return [find(name) for name in names]
    except KeyError as missing:
        raise click.UsageError(f"no fault {missing}; scripts/chaos list names them") from None


def _each(chosen: list[tuple[Fault, int]], order: fault_run.Order) -> Iterator[fault_run.Result]:
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        transient=True,
    )  # fmt: skip
    with bar:
        for fault, times in chosen:
            task = bar.add_task(f"{fault.id} {fault.title}", total=times)

            def advance(number: int, task: TaskID = task) -> None:
                bar.advance(task, number)

            yield fault_run.one(fault, order._replace(times=times, progress=advance))
            bar.remove_task(task)


def _storms(order: fault_run.Order, seconds: float) -> Iterator[fault_run.Result]:
    """Storms of a minute, each with a seed of its own that is made from the first."""
    until_s = time.monotonic() + seconds
    while (left_s := until_s - time.monotonic()) > _STORM_S / 10:
        yield fault_run.storm(order, min(_STORM_S, left_s))
        order = order._replace(seed=order.seed + 1)


def _finish(results: Iterable[fault_run.Result], table: str) -> None:
    """Print each result, write it into a table if one is named; exit 1 if a promise was broken."""
    is_clean = True
    for result in results:
        click.echo(fault_report.line(result))
        is_clean = is_clean and result.is_clean
        if table:
            fault_report.write([result], table)
    sys.exit(0 if is_clean else 1)


chaos.add_command(tree.command)
chaos.add_command(kill_command.command)
chaos.add_command(failover_command.command)
chaos(prog_name="scripts/chaos")
