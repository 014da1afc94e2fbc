"""Every door in the list is documented and tested like the others."""

from __future__ import annotations

import re
import tomllib

import pytest
from differential.generator import DOORS as GENERATED
from support.fuzz import EXCLUDED
from support.processes import ROOT

from api import openapi
from api.openapi.examples import EXAMPLES
from ingest.doors import DOORS
from ingest.doors.door import Door, Mount
from tributary.settings import Settings

MOUNTS = [(door, mount) for door in DOORS for mount in door.mounts]
each_mount = pytest.mark.parametrize(
    ("door", "mount"), MOUNTS, ids=lambda x: getattr(x, "path", "")
)


def methods_at(path: str) -> set[str]:
    return {method for _, mount in MOUNTS if mount.path == path for method in mount.methods}


def test_names_are_unique():
    assert len({door.name for door in DOORS}) == len(DOORS)


@each_mount
def test_the_openapi_document_describes_it(door: Door, mount: Mount):
    operations = openapi.document(Settings(), "0")["paths"][mount.path]
    assert operations.keys() == {method.lower() for method in methods_at(mount.path)}


@each_mount
def test_an_example_shows_it(door: Door, mount: Mount):
    shown = {example.method for example in EXAMPLES if example.path == mount.path}
    assert shown == methods_at(mount.path)


@each_mount
def test_it_has_a_row_for_the_fuzzer(door: Door, mount: Mount):
    rows = tomllib.loads((ROOT / "tests/fuzz/schemathesis.toml").read_text())["operations"]
    assert mount.path not in EXCLUDED
    assert any(
        mount.path == row.get("include-path")
        or re.search(row.get("include-path-regex", "(?!)"), mount.path)
        for row in rows
    )


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
def test_the_differential_test_generates_requests(door: Door):
    assert door.name in GENERATED
