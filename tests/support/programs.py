"""Programs that tests need and that may not be installed."""

from __future__ import annotations

import os
import shutil

import pytest


def needed(program: str) -> str:
    """The path of a program; without it the test is skipped, or fails in CI."""
    found = shutil.which(program)
    if found is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)(f"{program} is not installed")
    return found
