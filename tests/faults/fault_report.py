"""Results as lines of text, and as rows of the tables in docs/reliability.md."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from faults.fault_catalogue import CATALOGUE
from faults.fault_run import Result

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
_COLUMNS = (
    "fault", "description", "times", "acknowledged", "lost", "duplicated", "indeterminate", "refused",
    "recovery p50 ms", "p99 ms", "seed", "notes",
)  # fmt: skip
_HEAD = (f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|")
_NOTES_MAX = 4  # per row


def line(result: Result) -> str:
    """A result as one line of text."""
    findings = result.findings
    if findings is None:
        return f"{result.id:<6} {result.title}: {notes(result)}"
    verdict = "ok" if result.is_clean else "FAILED"
    return (
        f"{result.id:<6} {verdict} {result.title}, {result.times} times, seed {result.seed}: "
        f"acknowledged {findings.acknowledged}, lost {findings.lost}, duplicated {findings.duplicated}, "
        f"indeterminate {findings.indeterminate}, refused {findings.refused}; "
        f"recovery p50 {result.recovery_ms(50)} ms, p99 {result.recovery_ms(99)} ms; "
        f"{result.seconds:.0f} s; {notes(result)}"
    )


def row(result: Result) -> str:
    """A result as a row of the table."""
    if result.findings is None:
        figures = ["-"] * 8
    else:
        figures = [
            str(result.times),
            *(str(number) for number in result.findings[:5]),
            result.recovery_ms(50),
            result.recovery_ms(99),
            str(result.seed),
        ]
    return f"| {' | '.join([result.id, result.title, *figures, notes(result)])} |"


def notes(result: Result) -> str:
    """Violations and distinct notes, as one cell of a table."""
    distinct = list(dict.fromkeys(result.notes))
    shown = [*(result.findings.violations if result.findings else []), *distinct[:_NOTES_MAX]]
    if len(distinct) > _NOTES_MAX:
        shown.append(f"and {len(distinct) - _NOTES_MAX} more")
    return "; ".join(shown).replace("|", "/")


def write(results: Iterable[Result], name: str = "faults", document: Path = DOCUMENT) -> None:
    """Update the rows of these results in a table of the document."""
    text = document.read_text()
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, rest = text.split(begin)
    old, after = rest.split(end)
    rows = {found[1]: found[0] for found in re.finditer(r"^\| (\w+) \|.*$", old, re.MULTILINE)}
    rows.pop("fault", None)
    rows.update({result.id: row(result) for result in results})
    order = [fault.id for fault in CATALOGUE]
    ids = sorted(rows, key=lambda id_: order.index(id_) if id_ in order else len(order))
    table = "\n".join([*_HEAD, *(rows[id_] for id_ in ids)])
    document.write_text(f"{before}{begin}{table}\n{end}{after}")
