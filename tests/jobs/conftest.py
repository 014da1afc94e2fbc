"""A place where jobs run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.job_site import JobSite
from support.processes import Process

from tributary.settings import Settings


@pytest.fixture
def site(run: Callable[..., Process], settings: Settings, tmp_path: Path) -> JobSite:
    return JobSite(run, settings, tmp_path)
