"""Whether a connection reads from its socket and may write to it."""

from __future__ import annotations

import asyncio


class FlowControl:
    """Pauses and resumes a transport; both may be called in any order."""

    __slots__ = ("_transport", "is_eof", "is_read_paused", "is_write_paused")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.is_read_paused = False
        self.is_write_paused = False  # the client does not read what was sent
        self.is_eof = False  # the client sends nothing more, but may wait for responses

    def pause_reading(self) -> None:
        """Stop reading, unless stopped already."""
        if not self.is_read_paused:
            self.is_read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again, unless the client has responses to read first."""
        if self.is_read_paused and not self.is_write_paused:
            self.is_read_paused = False
            self._transport.resume_reading()
