"""`scripts/chaos`: inject one fault, a storm of faults, or every fault of the long run."""

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

from faults import (
    alert_command,
    bridge_command,
    corruption_command,
    events_command,
    failover_command,
    fault_report,
    fault_run,
    forget_command,
    history_command,
    job_command,
    kill_command,
    power_command,
    restart_command,
    simulated_command,
    spool_command,
    tree,
    upgrade_command,
)
from faults.fault_catalogue import CATALOGUE, CLAIMS, Fault, find
from tributary import settings as settings_
from tributary.errors import Misconfigured

_STORM_S = 60.0


def _parse_settings(
    _context: click.Context, _option: click.Parameter, values: tuple[str, ...]
) -> Any:
    """Validate `--setting` options as a role validates its settings."""
    names = dict(value.split("=", 1) for value in values if "=" in value)
    if len(names) < len(values):
        raise click.BadParameter("expected NAME=VALUE, for example lane=false")
    environ = {settings_.PREFIX + name.upper(): value for name, value in names.items()}
    try:
        loaded = settings_.load(environ)
    except Misconfigured as error:
        raise click.BadParameter(str(error)) from None
    return {name: getattr(loaded, name) for name in names}


_shared = [
    click.option("--seed", type=int, help="seed of all random choices; random by default, and printed"),
    click.option("--write", is_flag=True, help="write the results into docs/reliability.md"),
    click.option("--setting", "overrides", multiple=True, callback=_parse_settings, metavar="NAME=VALUE",
                 help="a setting of the roles under test; may be repeated"),
    click.option("--keys/--no-keys", default=True, show_default=True,
                 help="send with an Idempotency-Key and retry until acknowledged"),
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
@click.option(
    "--minutes", default=3.0, show_default=True, help="duration of the storm, without --only"
)
@click.option(
    "--only", metavar="FAULT", multiple=True, help="inject this fault, or `all`; may be repeated"
)
@click.option("--times", default=0, help="number of injections; 0: as in the catalogue")
@_with_shared
@click.pass_context
def chaos(context: click.Context, /, minutes: float, **options: Any) -> None:
    """Inject faults under load, and compare acknowledged readings with counted ones."""
    if context.invoked_subcommand is not None:
        return
    table = "faults" if options["write"] else ""
    if options["only"]:
        chosen = [(fault, options["times"] or fault.times) for fault in _chosen(options["only"])]
        _finish(_each(chosen, _run_options(options)), table)
    else:
        _finish(_storms(_run_options(options), minutes * 60), table)


@chaos.command("list")
def list_() -> None:
    """List the faults."""
    for fault in CATALOGUE:
        mark = "storm" if fault.storm_times else ""
        click.echo(f"{fault.id:<5} {fault.times:>5} times  {mark:<6} {fault.title}")


@chaos.command(epilog="Example: scripts/chaos proof --write")
@click.option(
    "--part", default=1.0, show_default=True, help="fraction of the counts, for a trial run"
)
@_with_shared
def proof(part: float, **options: Any) -> None:
    """Run the long run of docs/reliability.md (tens of minutes)."""
    claims = [(fault, max(1, round(times * part))) for fault, times in CLAIMS]
    _finish(_each(claims, _run_options(options)), "proof" if options["write"] else "")


def _run_options(options: dict[str, Any]) -> fault_run.RunOptions:
    """The shared options, with a random seed by default."""
    seed = options["seed"]
    seed = random.SystemRandom().randrange(1 << 16) if seed is None else seed
    return fault_run.RunOptions(seed, overrides=options["overrides"], is_keyed=options["keys"])


def _chosen(names: tuple[str, ...]) -> list[Fault]:
    if names == ("all",):
        return list(CATALOGUE)
    try:
        return [find(name) for name in names]
    except KeyError as missing:
        raise click.UsageError(f"unknown fault {missing}; see scripts/chaos list") from None


def _each(chosen: list[tuple[Fault, int]], run: fault_run.RunOptions) -> Iterator[fault_run.Result]:
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        transient=True,
    )  # fmt: skip
    with bar:
        for fault, times in chosen:
            task = bar.add_task(f"{fault.id} {fault.title}", total=times)

            def advance(number: int, task: TaskID = task) -> None:
                bar.advance(task, number)

            yield fault_run.run_one(fault, run._replace(times=times, progress=advance))
            bar.remove_task(task)


def _storms(run: fault_run.RunOptions, seconds: float) -> Iterator[fault_run.Result]:
    """Storms of one minute, each with the next seed."""
    until_s = time.monotonic() + seconds
    while (left_s := until_s - time.monotonic()) > _STORM_S / 10:
        yield fault_run.run_storm(run, min(_STORM_S, left_s))
        run = run._replace(seed=run.seed + 1)


def _finish(results: Iterable[fault_run.Result], table: str) -> None:
    """Print each result and write it into the named table; exit 1 after a violation."""
    is_clean = True
    for result in results:
        click.echo(fault_report.line(result))
        is_clean = is_clean and result.is_clean
        if table:
            fault_report.write([result], table)
    sys.exit(0 if is_clean else 1)


chaos.add_command(tree.command)
chaos.add_command(alert_command.command)
chaos.add_command(kill_command.command)
chaos.add_command(restart_command.command)
chaos.add_command(upgrade_command.command)
chaos.add_command(failover_command.command)
chaos.add_command(events_command.command)
chaos.add_command(spool_command.command)
chaos.add_command(bridge_command.command)
chaos.add_command(history_command.command)
chaos.add_command(forget_command.command)
chaos.add_command(job_command.command)
chaos.add_command(corruption_command.command)
chaos.add_command(power_command.command)
chaos.add_command(simulated_command.command)
if __name__ == "__main__":
    chaos(prog_name="scripts/chaos")
