"""What became of the rows of a load, counted, with the first complaints in words."""

from __future__ import annotations

from dataclasses import dataclass, field

from tributary.client import Receipt
from tributary.load.row import Row

COMPLAINTS_KEPT_MAX = 20


@dataclass
class Tally:
    """Counts of rows; `sent` = `accepted` + `refused`, and bad rows are `skipped`.

    Of those `accepted` the server had `duplicates` before. `before` were loaded by an earlier
    run. `complaints` are the first of `complained`.
    """

    rows: int = 0
    accepted: int = 0
    refused: int = 0
    duplicates: int = 0
    skipped: int = 0
    before: int = 0
    complained: int = 0
    complaints: list[str] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """Readings the server has answered for."""
        return self.accepted + self.refused

    def enter_row(self, name: str, row: Row) -> None:
        """Count a row that was read from a file."""
        self.rows += 1
        place = f"{name}:{row.line}"
        if row.reading is None:
            self.skipped += 1
            self._complain(place, row.reason)
        for fault in row.faults:
            self._complain(place, f"{fault}; the cell is left out")

    def enter_receipt(self, name: str, rows: list[Row], receipt: Receipt) -> None:
        """Count what the server said to some rows."""
        self.accepted += receipt.accepted
        self.refused += receipt.refused
        self.duplicates += receipt.duplicates
        for refusal in receipt.refusals:
            self._complain(f"{name}:{rows[refusal.index].line}", f"refused: {refusal.message}")

    def _complain(self, place: str, reason: str) -> None:
        self.complained += 1
        if len(self.complaints) < COMPLAINTS_KEPT_MAX:
            self.complaints.append(f"{place}: {reason}")
