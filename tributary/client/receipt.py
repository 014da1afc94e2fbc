"""What became of the readings of a request: accepted, refused and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

REFUSALS_KEPT_MAX = 100


@dataclass(frozen=True)
class Refusal:
    """A reading that the server does not take, by its index among those that were sent."""

    index: int
    code: str
    message: str
    field: str | None = None


@dataclass
class Receipt:
    """Counts of readings; `sent` = `accepted` + `refused`.

    Of what was `accepted`, `duplicates` had been accepted before under the same key. Only
    the first `REFUSALS_KEPT_MAX` refusals are kept.
    """

    key: str = ""
    accepted: int = 0
    refused: int = 0
    duplicates: int = 0
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """Readings the server has given its word on."""
        return self.accepted + self.refused

    def enter(self, indexes: list[int], answer: dict[str, Any]) -> None:
        """Add the answer to some readings: how many were accepted, which were rejected."""
        if answer.get("duplicate"):
            self.duplicates += len(indexes)
            self.accepted += len(indexes)
            return
        accepted = int(answer.get("accepted", len(indexes)))
        self.accepted += accepted
        self.refused += len(indexes) - accepted
        for rejected in answer.get("rejected", ()):
            index = indexes[rejected["index"]]
            self._keep(Refusal(index, rejected["code"], rejected["message"], rejected.get("field")))

    def refuse(self, refusal: Refusal) -> None:
        """Add a reading that was refused."""
        self.refused += 1
        self._keep(refusal)

    def add(self, other: Receipt) -> None:
        """Add the counts and refusals of another; an index stays that within its own request."""
        self.accepted += other.accepted
        self.refused += other.refused
        self.duplicates += other.duplicates
        for refusal in other.refusals:
            self._keep(refusal)

    def _keep(self, refusal: Refusal) -> None:
        if len(self.refusals) < REFUSALS_KEPT_MAX:
            self.refusals.append(refusal)
