"""`tributary jobs`: the role in the foreground, and the operations on its queue."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
import redis
from rich.table import Table

from tributary import failpoints, log
from tributary.cli import options, target, terminal
from tributary.cli import role as role_
from tributary.model import reading
from tributary.operate import job_queue
from tributary.operate.job_queue import ListedJob
from tributary.process.role import on_call
from tributary.store import jobs_server


def _group() -> click.Group:
    """The command of the role, which has subcommands, too."""
    run = role_.command("jobs")

    @click.pass_context
    def callback(context: click.Context, /, **given: Any) -> None:
        if context.invoked_subcommand is None:
            context.invoke(run, **given)

    return click.Group(
        "jobs",
        callback=callback,
        params=run.params,
        help=run.help,
        epilog=run.epilog,
        invoke_without_command=True,
    )


command = _group()


@command.command("work", hidden=True)
@options.add(*options.COMMON)
def work(**given: Any) -> None:
    """Run jobs until SIGTERM; `tributary jobs` starts these processes."""
    settings = options.load(given)
    log.configure(settings, "jobs")
    failpoints.arm(settings.fail)
    on_call("jobs.worker:run")(settings)
    on_call("jobs.supervise:exit_now")()


@command.command("alerts", hidden=True)
@options.add(*options.COMMON)
def alerts(**given: Any) -> None:
    """Deliver alerts until SIGTERM; `tributary jobs` starts this process."""
    settings = options.load(given)
    log.configure(settings, "jobs")
    failpoints.arm(settings.fail)
    on_call("jobs.alerts.sender:run")(settings)
    on_call("jobs.supervise:exit_now")()


@command.command("list", epilog="Example: tributary jobs list --json | jq -r '.[].error'")
@click.option(
    "--limit",
    default=100,
    show_default=True,
    type=click.IntRange(1),
    help="maximum number of jobs to list in each state",
)
@click.option("--json", "as_json", is_flag=True, help="print one JSON array")
@options.add(*options.RUNNING, "jobs_url", prefix="jobs_")
def list_jobs(*, limit: int, as_json: bool, **given: Any) -> None:
    """List the jobs that run, wait, are retried later or failed."""
    rows = [_row(job) for job in job_queue.read(_client(given), limit)]
    if as_json:
        click.echo(json.dumps(rows))
        return
    table = Table("job", "name", "arguments", "state", "queued", "error", box=None)
    for row in rows:
        table.add_row(*(terminal.plain(value) for value in row.values()))
    terminal.console().print(table)


@command.command("retry", epilog="Example: tributary jobs retry archive-3")
@click.argument("ids", nargs=-1, required=True, metavar="JOB...|all")
@options.add(*options.RUNNING, "jobs_url", prefix="jobs_")
def retry(*, ids: tuple[str, ...], **given: Any) -> None:
    """Queue failed jobs again. Exit 1 if one of them has not failed."""
    client = _client(given)
    wanted = _wanted(client, ids, {"failed"})
    _end("retried", job_queue.retry(client, wanted), len(wanted))


@command.command("drop", epilog="Example: tributary jobs drop archive-3 --yes")
@click.argument("ids", nargs=-1, required=True, metavar="JOB...|all")
@click.option("--yes", is_flag=True, help="do not ask for confirmation")
@options.add(*options.RUNNING, "jobs_url", prefix="jobs_")
def drop(*, ids: tuple[str, ...], yes: bool, **given: Any) -> None:
    """Delete jobs that wait or failed; `all`: those that failed. Exit 1 if one is not there.

    A job of the schedule is queued again when it is due.
    """
    client = _client(given)
    wanted = _wanted(client, ids, {"failed"})
    if not yes:
        click.confirm(f"Delete {len(wanted)} jobs permanently?", abort=True, err=True)
    _end("dropped", job_queue.drop(client, wanted), len(wanted))


def _client(given: dict[str, Any]) -> redis.Redis:
    return jobs_server.connect(target.find(given))


def _wanted(client: redis.Redis, ids: tuple[str, ...], states: set[str]) -> list[str]:
    """The ids that were named; those of all jobs in these states if it is `all`."""
    if ids != ("all",):
        return list(dict.fromkeys(ids))
    found = job_queue.read(client, job_queue.MAX_FAILED)
    return [job.id for job in found if job.state in states]


def _end(what: str, done: int, wanted: int) -> None:
    click.echo(f"{what} {done} of {wanted} jobs")
    if done < wanted:
        click.echo("tributary: the others are not there or in another state; see "
                   "`tributary jobs list`", err=True)  # fmt: skip
    sys.exit(int(done < wanted))


def _row(job: ListedJob) -> dict[str, str]:
    return {
        "job": job.id,
        "name": job.name,
        "arguments": json.dumps(job.arguments),
        "state": job.state,
        "queued_at": reading.rfc3339(job.at_ms),
        "error": job.error,
    }
