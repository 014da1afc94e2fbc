"""Results as lines on a terminal, and as the table of docs/reliability.md."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from faults.fault_catalogue import CATALOGUE
from faults.fault_run import Result

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
_COLUMNS = (
    "fault", "what", "times", "acknowledged", "lost", "duplicated", "indeterminate", "refused",
    "recovery p50 ms", "p99 ms", "seed", "seen",
)  # fmt: skip
_HEAD = (f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|")
_SEEN_MAX = 4  # notes shown of a result


def line(result: Result) -> str:
    """A result as one line of text."""
    if result.found is None:
        return f"{result.id:<6} {result.title}: {seen(result)}"
    found = result.found
    verdict = "ok" if result.is_clean else "FAULTY"
    return (
        f"{result.id:<6} {verdict} {result.title}, {result.times} times, seed {result.seed}: "
        f"acknowledged {found.acknowledged}, lost {found.lost}, duplicated {found.duplicated}, "
        f"indeterminate {found.indeterminate}, refused {found.refused}; "
        f"recovery p50 {result.recovery_ms(50)} ms, p99 {result.recovery_ms(99)} ms; "
        f"{result.seconds:.0f} s; {seen(result)}"
    )


def row(result: Result) -> str:
    """A result as a row of the table."""
    if result.found is None:
        figures = ["-"] * 8
    else:
        figures = [
            str(result.times),
            *(str(number) for number in result.found[:5]),
            result.recovery_ms(50),
            result.recovery_ms(99),
            str(result.seed),
        ]
    return f"| {' | '.join([result.id, result.title, *figures, seen(result)])} |"


def seen(result: Result) -> str:
    """What is worth saying besides the figures."""
    said = list(dict.fromkeys(result.notes))
    shown = [*(result.found.faults if result.found else []), *said[:_SEEN_MAX]]
    if len(said) > _SEEN_MAX:
        shown.append(f"and {len(said) - _SEEN_MAX} more")
    return "; ".join(shown).replace("|", "/")


def write(results: Iterable[Result], name: str = "faults", document: Path = DOCUMENT) -> None:
    """Put results into a table of the document; rows of faults that were not run stay."""
    text = document.read_text()
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, rest = text.split(begin)
    old, after = rest.split(end)
    rows = {found[1]: found[0] for found in re.finditer(r"^\| (\w+) \|.*$", old, re.MULTILINE)}
    rows.pop("fault", None)
    rows.update({result.id: row(result) for result in results})
    order = [fault.id for fault in CATALOGUE]
    known = sorted(rows, key=lambda id_: order.index(id_) if id_ in order else len(order))
    table = "\n".join([*_HEAD, *(rows[id_] for id_ in known)])
    document.write_text(f"{before}{begin}{table}\n{end}{after}")
