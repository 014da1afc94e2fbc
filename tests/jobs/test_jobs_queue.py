"""Jobs on a real Redis, by real processes of `tributary jobs`."""

from __future__ import annotations

from support.job_site import JobSite


def test_a_job_runs_with_its_arguments(site: JobSite):
    site.start("--log-level", "DEBUG")
    site.add("note", 1, "x", None)
    site.wait_for("note 1 x None")
