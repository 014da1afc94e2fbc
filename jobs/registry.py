"""The table of all jobs: a line here is all that the role needs to run another one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from tributary.errors import Misconfigured, did_you_mean
from tributary.operate.job_queue import Plain
from tributary.process.role import on_call
from tributary.settings import Settings

BACK_OFF_S = (1, 5, 25, 120)  # before the first retries; later ones wait as long as the last


def _once(_settings: Settings) -> Iterable[Sequence[Plain]]:
    return [()]


class Job(NamedTuple):
    """A function that a worker runs when the queue or the schedule names it.

    It is safe to repeat: a job whose worker was killed is run again, and rarely two run at once.
    """

    name: str
    # (settings, *arguments) → a plain value. `on_call` of tributary/process/role.py imports it
    # when it is called.
    function: Callable[..., Any]
    # The schedule: None if the job only runs when it is asked for. A period begins at `at_s`
    # after 00:00 UTC; one that was missed is made up for once.
    every_s: int | None = None
    at_s: int = 0
    # The arguments of the jobs to queue at that time; their id is the name with the arguments.
    due: Callable[[Settings], Iterable[Sequence[Plain]]] = _once
    timeout_s: int = 600
    retries: int = 3  # of a job that failed, with growing pauses
    result_s: int = 0  # how long its result is kept


def table(*jobs: Job) -> dict[str, Job]:
    """Jobs by their names."""
    return {job.name: job for job in jobs}


JOBS: dict[str, Job] = table(
    # As often as is cheap: what is trimmed before it is read is a gap in the history.
    Job("archive", on_call("jobs.archive:run"), every_s=10, due=on_call("jobs.due:archive")),
    Job("compact", on_call("jobs.compact:run"), every_s=3_600, due=on_call("jobs.due:compact")),
    Job(
        "retention",
        on_call("jobs.retention:run"),
        every_s=3_600,
        due=on_call("jobs.due:retention"),
        timeout_s=3_600,
    ),
    Job(
        "audit",
        on_call("jobs.audit:run"),
        every_s=86_400,
        at_s=3 * 3_600,
        due=on_call("jobs.due:audit"),
        timeout_s=3_600,
        retries=2,
    ),
    Job("export", on_call("jobs.export.job:run"), timeout_s=7_200),
    Job("tidy_exports", on_call("jobs.export.tidy:run"), every_s=60, retries=0),
    Job(
        "forget",
        on_call("jobs.forget.job:run"),
        every_s=5,
        due=on_call("jobs.due:forget"),
        timeout_s=3_600,
    ),
    Job("forget_silent", on_call("jobs.forget.job:forget_silent"), every_s=3_600),
)


def find(name: str) -> Job:
    """The job of this name.

    Raises:
        Misconfigured: there is none.
    """
    if name not in JOBS:
        raise Misconfigured(f"unknown job {name!r}; {did_you_mean(name, JOBS) or 'there is none'}")
    return JOBS[name]


def back_off_s(retries: int) -> list[int]:
    """The pauses before the retries of a job, in seconds."""
    return [*BACK_OFF_S, *[BACK_OFF_S[-1]] * retries][:retries]
