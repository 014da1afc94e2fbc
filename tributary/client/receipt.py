"""The outcome of recording readings: accepted, or refused with a reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

REFUSALS_KEPT_MAX = 100


@dataclass(frozen=True)
class Refusal:
    """A reading that the server refused; `index` is its position in the request."""

    index: int
    code: str
    message: str
    field: str | None = None


@dataclass
class Receipt:
    """Counts of readings; `sent` = `accepted` + `refused`.

    `duplicates` are those of `accepted` that had been accepted before under the same key.
    Only the first `REFUSALS_KEPT_MAX` refusals are kept.
    """

    key: str = ""
    accepted: int = 0
    refused: int = 0
    duplicates: int = 0
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """Readings that the server has accepted or refused."""
        return self.accepted + self.refused

    def add_response(self, indexes: list[int], response: dict[str, Any]) -> None:
        """Add the response for the readings at these indexes; that to a retry repeats the first."""
        accepted = int(response.get("accepted", len(indexes)))
        if response.get("duplicate"):
            self.duplicates += accepted
        self.accepted += accepted
        self.refused += len(indexes) - accepted
        for rejected in response.get("rejected", ()):
            index = indexes[rejected["index"]]
            self._keep(Refusal(index, rejected["code"], rejected["message"], rejected.get("field")))

    def refuse(self, refusal: Refusal) -> None:
        """Add a refused reading."""
        self.refused += 1
        self._keep(refusal)

    def add(self, other: Receipt) -> None:
        """Add another receipt; the indexes of its refusals remain those of its request."""
        self.accepted += other.accepted
        self.refused += other.refused
        self.duplicates += other.duplicates
        for refusal in other.refusals:
            self._keep(refusal)

    def _keep(self, refusal: Refusal) -> None:
        if len(self.refusals) < REFUSALS_KEPT_MAX:
            self.refusals.append(refusal)
