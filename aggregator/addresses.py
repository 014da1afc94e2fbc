"""The numbers of rows that the owner of a partition gives to series, as of its epoch. Pure.

Series get rows in the order in which they are first recorded, so that what is recorded together
is written together. Free rows, of forgotten series and of those that need other rows or none,
are used again first, in the order of their list.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from tributary.model.address import SHORT, Address
from tributary.model.rows import Run, Shape

FREE_MAX = 1_000  # free rows of a kind that an owner knows; it learns of more when it has used some
_NONE_FREE: tuple[Sequence[bytes], ...] = ((), (), ())


class NewChunks(NamedTuple):
    """The last byte of each chunk that was begun since the last commit.

    Writing it first allocates the chunk at once; otherwise each row would move it.
    """

    state: list[Run]
    rings: list[Run]
    short: list[Run]


class _Numbers:
    """The rows of one kind: how many are numbered, and which are free."""

    def __init__(self, numbered: int, free: Sequence[bytes]) -> None:
        self.numbered = self.committed = numbered
        self.free = deque(free)
        self.is_cut = len(free) == FREE_MAX  # there may be more
        self.used = 0  # free rows, since the last commit
        self.used_in_all = 0

    def take(self) -> bytes:
        if self.free:
            self.used += 1
            return self.free.popleft()
        self.numbered += 1
        return b"%d" % (self.numbered - 1)

    def new_chunks(self, rows: int, size_bytes: int) -> list[Run]:
        if self.numbered == self.committed:  # nearly always
            return []
        first, end = -(-self.committed // rows), -(-self.numbered // rows)
        return [Run(chunk, size_bytes - 1, b"\0") for chunk in range(first, end)]


class Addresses:
    """What is numbered and free: rows of state, which may have rings; rings; short rows."""

    def __init__(
        self,
        partition: int,
        shape: Shape,
        numbered: tuple[int, int, int] = (0, 0, 0),
        free: Sequence[Sequence[bytes]] = _NONE_FREE,
    ) -> None:
        """`numbered`: how many rows of state, rings and short rows have been numbered."""
        self.partition = partition
        self._shape = shape
        self._all = tuple(map(_Numbers, numbered, free))
        self._state, self._rings, self._short = self._all

    def take(self) -> Address:
        """Rows for a series; one that had none of rings before has none."""
        return Address.parse(self._state.take())

    def take_ring(self) -> int:
        """A row of rings."""
        return int(self._rings.take())

    def take_short(self) -> Address:
        """A short row for a series."""
        return Address(int(self._short.take()), SHORT)

    def new_chunks(self) -> NewChunks:
        """The chunks that were begun since the last commit."""
        shape, short = self._shape, self._shape.short
        return NewChunks(
            self._state.new_chunks(shape.state_rows, shape.state_bytes),
            self._rings.new_chunks(shape.ring_rows, shape.rings_bytes),
            self._short.new_chunks(short.state_rows, short.state_bytes),
        )

    def commit(self) -> tuple[list[str], list[int]]:
        """Fields and values of `meta`, and how many free rows of each kind were used.

        Both since the last commit.
        """
        fields: list[str] = []
        for name, each in zip(("state_rows", "ring_rows", "short_rows"), self._all, strict=True):
            if each.numbered != each.committed:
                fields += (name, str(each.numbered))
        used = [each.used for each in self._all]
        for each in self._all:
            each.used_in_all += each.used
            each.committed, each.used = each.numbered, 0
        return fields, used

    def note_freed(self) -> None:
        """The next commit adds to the lists of free rows."""
        for each in self._all:
            each.is_cut = True

    @property
    def needs_more(self) -> bool:
        """Whether to read the lists again: few free rows are known, and there may be more."""
        return any(each.is_cut and len(each.free) < FREE_MAX // 4 for each in self._all)

    def mark(self) -> list[int]:
        """How many free rows the commits until now have used; the lists are read behind them."""
        for each in self._all:
            each.is_cut = False
        return [each.used_in_all for each in self._all]

    def learn(self, free: Sequence[Sequence[bytes]], mark: Sequence[int]) -> None:
        """The lists of free rows, as read behind the commits of `mark`."""
        for each, found, used in zip(self._all, free, mark, strict=True):
            since = each.used_in_all + each.used - used
            each.free = deque(found[since:])
            each.is_cut |= len(found) == FREE_MAX
