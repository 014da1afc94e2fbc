"""The numbers of rows that the owner of a partition gives to series, as of its epoch. Pure.

Series get rows in the order in which they are first recorded, so that what is recorded together
is written together. Rows of forgotten series are used again first, in the order of the list.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from tributary.model.rows import Address, Run, Shape

FREE_MAX = 1_000  # free rows that an owner knows; it learns of more when it has used some


class Addresses:
    """What is numbered and free."""

    def __init__(
        self,
        partition: int,
        shape: Shape,
        numbered: tuple[int, int] = (0, 0),
        free: Sequence[bytes] = (),
    ) -> None:
        """`numbered`: how many rows of state and of rings have been numbered."""
        self.partition = partition
        self._shape = shape
        self._state_rows, self._ring_rows = numbered
        self._free = deque(map(Address.parse, free))
        self._numbered = numbered  # as of the last commit
        self._used = 0  # free rows, since the last commit
        self._used_in_all = 0

    def take(self) -> Address:
        """Rows for a series; one that had none of rings before has none."""
        if self._free:
            self._used += 1
            return self._free.popleft()
        self._state_rows += 1
        return Address(self._state_rows - 1, -1)

    def take_ring(self) -> int:
        """A row of rings."""
        self._ring_rows += 1
        return self._ring_rows - 1

    def new_chunks(self) -> tuple[list[Run], list[Run]]:
        """The last byte of each chunk of state and of rings that was begun since the last commit.

        Writing it first allocates the chunk at once; otherwise each row would move it.
        """
        state, rings = self._numbered
        return (
            _last_bytes(state, self._state_rows, self._shape.state_rows, self._shape.state_bytes),
            _last_bytes(rings, self._ring_rows, self._shape.ring_rows, self._shape.rings_bytes),
        )

    def commit(self) -> tuple[list[str], int]:
        """Fields and values of `meta`, and how many free rows were used, since the last commit."""
        numbered = (self._state_rows, self._ring_rows)
        fields: list[str] = []
        if numbered != self._numbered:
            fields = ["state_rows", str(numbered[0]), "ring_rows", str(numbered[1])]
        used, self._used, self._numbered = self._used, 0, numbered
        self._used_in_all += used
        return fields, used

    @property
    def mark(self) -> int:
        """How many free rows the commits until now have used."""
        return self._used_in_all

    def learn(self, free: Sequence[bytes], mark: int) -> None:
        """The list of free rows, as read behind the commits of `mark`."""
        since = self._used_in_all + self._used - mark
        self._free = deque(map(Address.parse, free[since:]))


def _last_bytes(before: int, after: int, rows: int, size_bytes: int) -> list[Run]:
    first, end = -(-before // rows), -(-after // rows)
    return [Run(chunk, size_bytes - 1, b"\0") for chunk in range(first, end)]
