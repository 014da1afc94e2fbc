"""The first records of a file by column, and the decimal marks that they prove."""

from __future__ import annotations

from collections import Counter

from tributary.load import cell, text
from tributary.load.cell import Cell
from tributary.load.file_records import Form, Record


class Sample:
    """Cells by column, in order, without missing ones."""

    def __init__(self, form: Form, records: list[Record], decimal: str | None = None) -> None:
        self.cells: dict[str, list[Cell]] = {column: [] for column in form.columns}
        for record in records:
            for column, value in (record.cells or {}).items():
                cells = self.cells.setdefault(column, [])
                if not cell.is_missing(value):
                    cells.append(value)
        self._decimal = decimal
        self._proofs = {column: _proofs(cells) for column, cells in self.cells.items()}
        self._usual = _most_common(sum(self._proofs.values(), Counter())) or "."

    def mark(self, column: str) -> str:
        """The decimal mark of a column, for ambiguous cells.

        It is the one given by the user, else the one that other cells of the column prove, else
        of the file.
        """
        return self._decimal or _most_common(self._proofs[column]) or self._usual

    def example(self, column: str) -> Cell:
        """The first cell of a column, or None."""
        return next(iter(self.cells[column]), None)


def _proofs(cells: list[Cell]) -> Counter[str]:
    proofs = (text.proved_mark(value) for value in cells if isinstance(value, str))
    return Counter(mark for mark in proofs if mark)


def _most_common(marks: Counter[str]) -> str | None:
    return marks.most_common(1)[0][0] if marks else None
