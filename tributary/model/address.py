"""The numbers of the rows of a series, as the hash `rows` has them. Pure."""

from __future__ import annotations

from typing import NamedTuple

NO_RING, SHORT = -1, -2


class Address(NamedTuple):
    """The rows of a series; `ring` is `NO_RING`, or `SHORT` if its row of state is a short one."""

    state: int
    ring: int

    @classmethod
    def parse(cls, text: bytes) -> Address:
        """Parse `12,7`, `12` without a row of rings, or `s12` for a short row.

        Raises:
            ValueError: it is something else.
        """
        if text.startswith(b"s"):
            return cls(int(text[1:]), SHORT)
        state, comma, ring = text.partition(b",")
        return cls(int(state), int(ring) if comma else NO_RING)

    def packed(self) -> bytes:
        """As `parse` takes it."""
        if self.ring == SHORT:
            return b"s%d" % self.state
        return b"%d" % self.state if self.ring < 0 else b"%d,%d" % self


NOWHERE = Address(-1, NO_RING)
