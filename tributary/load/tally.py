"""Counts of the rows of a load, and the first warnings."""

from __future__ import annotations

from dataclasses import dataclass, field

from tributary.client import Receipt
from tributary.load.row import Row

WARNINGS_KEPT_MAX = 20


@dataclass
class Tally:
    """Counts of rows; `sent` = `accepted` + `refused`, and invalid rows are `skipped`.

    Rows without values are `empty`.

    `duplicates` are those of `accepted` that the server already had. `before` were loaded by an
    earlier run. `warnings` are the first of `warned`.
    """

    rows: int = 0
    accepted: int = 0
    refused: int = 0
    duplicates: int = 0
    skipped: int = 0
    before: int = 0
    empty: int = 0
    warned: int = 0
    warnings: list[str] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """Readings that the server has accepted or refused."""
        return self.accepted + self.refused

    def add_row(self, name: str, row: Row) -> None:
        """Count a row of a file."""
        self.rows += 1
        place = f"{name}:{row.line}"
        if row.reading is None and not row.reason:
            self.empty += 1
        elif row.reading is None:
            self.skipped += 1
            self._warn(place, row.reason)
        for warning in row.warnings:
            self._warn(place, f"{warning}; the cell is left out")

    def add_receipt(self, name: str, rows: list[Row], receipt: Receipt) -> None:
        """Count the rows of a receipt."""
        self.accepted += receipt.accepted
        self.refused += receipt.refused
        self.duplicates += receipt.duplicates
        for refusal in receipt.refusals:
            self._warn(f"{name}:{rows[refusal.index].line}", f"refused: {refusal.message}")

    def _warn(self, place: str, reason: str) -> None:
        self.warned += 1
        if len(self.warnings) < WARNINGS_KEPT_MAX:
            self.warnings.append(f"{place}: {reason}")
