"""Files and functions are short."""

from __future__ import annotations

import ast
import statistics
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE_MAX, FUNCTION_MAX, MEDIAN_MAX = 300, 40, 10
# Files over the limit, each with the reason.
LONGER = {
    # one state machine
    "tributary/http/lane/connection.py": 372,
    # the catalogue of all keys
    "tributary/store/keys.py": 450,
    # one function for each script
    "tributary/store/scripts.py": 415,
    # the table of all settings
    "tributary/settings.py": 560,
}
PACKAGES = ("tributary", "ingest", "aggregator", "bridge", "api", "jobs", "bench", "tests/faults")


def files(*folders: str) -> list[Path]:
    """The Python files in these folders, relative to the root."""
    return [
        path.relative_to(ROOT)
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]


@cache
def functions(path: Path) -> dict[str, int]:
    """The lines of each function, without the functions that it defines."""
    found = {}
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = sum(
                child.end_lineno - child.lineno + 1
                for child in node.body
                if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            )
            found[f"{node.name}:{node.lineno}"] = node.end_lineno - node.lineno + 1 - inner
    return found


def test_files_are_short():
    too_long = {
        str(path): lines
        for path in {*files(*PACKAGES), *files("tests")}
        if (lines := len((ROOT / path).read_text().splitlines())) > LONGER.get(str(path), FILE_MAX)
    }
    assert not too_long


def test_functions_are_short():
    too_long = {
        f"{path}:{name}": lines
        for path in files(*PACKAGES)
        for name, lines in functions(path).items()
        if lines > FUNCTION_MAX
    }
    assert not too_long


def test_the_median_function_is_short():
    lengths = [length for path in files(*PACKAGES) for length in functions(path).values()]
    assert statistics.median(lengths) <= MEDIAN_MAX
