"""bandit finds what nothing explains, and SECURITY.md names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from scripts import security_lint

ROOT = Path(__file__).resolve().parents[2]
SECURITY = (ROOT / "SECURITY.md").read_text()


def test_a_finding_fails_unless_a_comment_explains_it(tmp_path: Path):
    (tmp_path / "code.py").write_text(
        "import subprocess\n"
        "subprocess.run('ls', shell=True)\n"
        "subprocess.run('ls', shell=True)  # noqa: S607, S602 (a test)\n"
        "subprocess.run('ls', shell=True)  # noqa: S603 (another rule)\n"
        "subprocess.run(\n    'ls',\n    shell=True,  # noqa: S602\n)\n"
        "subprocess.run('ls', shell=True)  # nosec B602\n"
    )
    found = [
        each.rpartition("/")[2].split(" ")[0:2] for each in security_lint.findings(str(tmp_path))
    ]
    assert [where for where, rule in found if rule == "B602"] == ["code.py:2:", "code.py:4:"]


def test_every_suppression_of_bandit_has_a_reason():
    sources = [
        path for package in security_lint.PACKAGES for path in (ROOT / package).rglob("*.py")
    ]
    found = [
        line for path in sources for line in path.read_text().splitlines() if "# nosec" in line
    ]
    assert all(re.search(r"# nosec B\d{3} \(\w.+\)$", line) for line in found)


def rows() -> dict[str, str]:
    """The rows of the OWASP table → its last column."""
    found = re.findall(r"^\| (API\d+) [^|]+\|[^|]+\|([^|]+)\|$", SECURITY, re.MULTILINE)
    return dict(found)


def test_every_row_of_the_owasp_table_names_tests_that_exist():
    assert list(rows()) == [f"API{number}" for number in range(1, 11)]
    for risk, shown_by in rows().items():
        paths = [ROOT / path for path in re.findall(r"`(tests/[\w/.]+)`", shown_by)]
        if "limits.md" in shown_by:  # its own table names a test of each
            limits = (ROOT / "docs/limits.md").read_text()
            paths += [ROOT / path for path in re.findall(r"`(tests/[\w/.]+)`", limits)]
        assert paths, risk
        for path in paths:
            files = sorted(path.rglob("test_*.py")) if path.is_dir() else [path]
            assert files, path
            assert any(_has_tests(file) for file in files), path


def _has_tests(file: Path) -> bool:
    tree = ast.parse(file.read_text())
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        for node in tree.body
    )
