"""Documents generated from tables in the code by `scripts/docs`; a test keeps them up to date."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tributary import settings
from tributary.operate import metric_catalogue
from tributary.store import keys

ROOT = Path(__file__).resolve().parents[1]


def rendered() -> dict[str, str]:
    """Path of a file, relative to `docs` → its text."""
    return {
        "keys.md": _keys(),
        "metrics.md": _metrics(),
        "settings.md": _settings(),
        "../kubernetes/components/monitoring/prometheus-rule.yaml": _prometheus_rule(),
    }


def _keys() -> str:
    head = (
        "# Keys\n\n"
        "Redis has no schema, so this table is the schema; it is generated from `tributary/store/keys.py`.\n"
        "`{p}` is the number of a partition: all keys of a partition share a cluster slot.\n\n"
    )
    rows = [
        (f"`{k.pattern}`", k.type, k.holds, k.written_by, k.read_by, k.lifetime)
        for k in keys.CATALOGUE
    ]
    return head + _table(("key", "type", "holds", "written by", "read by", "lifetime"), rows)


def _metrics() -> str:
    head = (
        "# Metrics\n\n"
        "`GET /metrics` of any process returns these for the whole deployment.\n"
        "[operating.md](operating.md) explains how to use them.\n"
        "This table is generated from `tributary/operate/metric_catalogue.py`.\n\n"
    )
    rows = [
        (f"`{m.name}`", m.type, " ".join(f"`{label}`" for label in m.labels), m.description)
        for m in (*metric_catalogue.ALWAYS, *metric_catalogue.CATALOGUE)
    ]
    return head + _table(("name", "type", "labels", "meaning"), rows)


def _settings() -> str:
    head = (
        "# Settings\n\n"
        "Each is an environment variable, and an option of the commands that use it.\n"
        "All are validated at startup, and all errors are reported at once; "
        "an unknown `TRIBUTARY_…` name is an error.\n"
        "This table is generated from `tributary/settings.py`.\n\n"
    )
    rows = [
        (
            f"`{settings.PREFIX}{name.upper()}`",
            f"`{default}`" if default != "" else "",
            unit,
            meaning,
        )
        for name, default, unit, meaning in settings.table()
    ]
    return head + _table(("name", "default", "unit", "meaning"), rows)


def _prometheus_rule() -> str:
    head = (
        "# The alerts of compose/prometheus/rules.yaml, from which `scripts/docs` makes this file.\n"
        "apiVersion: monitoring.coreos.com/v1\n"
        "kind: PrometheusRule\n"
        "metadata:\n"
        "  name: tributary\n"
        "spec:\n"
    )
    rules = (ROOT / "compose/prometheus/rules.yaml").read_text()
    lines = rules[rules.index("groups:") :].splitlines()
    return head + "".join(f"  {line}\n" for line in lines)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    for name, text in rendered().items():
        (Path(sys.argv[1]) / name).write_text(text)
