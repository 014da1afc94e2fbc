"""How many listeners one token, and one address, may have in a process."""

from __future__ import annotations

from collections import Counter

from tributary.errors import Refused
from tributary.settings import Settings


class Quota:
    """Counts listeners by token and address; a count of 0 is not kept."""

    def __init__(self, settings: Settings) -> None:
        self._max = {
            "token": settings.live_listeners_per_token,
            "address": settings.live_listeners_per_address,
        }
        self._held: Counter[tuple[str, str]] = Counter()

    def take(self, token_id: str, address: str) -> None:
        """Count one more listener; an empty name is not counted.

        Raises:
            Refused: 429, the token or the address is at its limit.
        """
        owners = _owners(token_id, address)
        for kind, name in owners:
            if self._held[kind, name] >= self._max[kind]:
                raise Refused(
                    f"{kind} {name} has {self._max[kind]} listeners, the limit; close "
                    f"some, or raise live_listeners_per_{kind}",
                    status=429,
                    code="too_many_listeners",
                    headers={"Retry-After": "5"},
                )
        self._held.update(owners)

    def release(self, token_id: str, address: str) -> None:
        """Count one listener less."""
        for owner in _owners(token_id, address):
            self._held[owner] -= 1
            if not self._held[owner]:
                del self._held[owner]


def _owners(token_id: str, address: str) -> list[tuple[str, str]]:
    return [owner for owner in (("token", token_id), ("address", address)) if owner[1]]
