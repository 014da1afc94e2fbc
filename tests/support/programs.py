"""Programs that a test needs and a bare machine has not."""

from __future__ import annotations

import os
import shutil

import pytest


def needed(program: str) -> str:
    """Where a program is that not everybody has; without it a test is skipped, but not in CI."""
    found = shutil.which(program)
    if found is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)(f"there is no {program} here")
    return found
