"""One token, or one address, cannot take the listeners of everybody."""

from __future__ import annotations

import pytest

from api.live.shares import Shares
from tributary.errors import Refused
from tributary.settings import Settings


def test_a_token_and_an_address_have_so_many_listeners_and_no_more():
    shares = Shares(Settings(live_listeners_per_token=2, live_listeners_per_address=3))
    for _ in range(2):
        shares.take("phone", "10.0.0.1")
    with pytest.raises(Refused, match="token phone has 2 listeners") as refused:
        shares.take("phone", "10.0.0.2")
    assert (refused.value.status, refused.value.code) == (429, "too_many_listeners")
    shares.take("tablet", "10.0.0.1")
    with pytest.raises(Refused, match=r"address 10\.0\.0\.1 has 3"):
        shares.take("", "10.0.0.1")
    shares.release("phone", "10.0.0.1")
    shares.take("phone", "10.0.0.1")


def test_nothing_is_kept_of_those_who_have_gone():
    shares = Shares(Settings())
    for number in range(1000):
        shares.take(f"t-{number}", f"10.0.0.{number}")
        shares.release(f"t-{number}", f"10.0.0.{number}")
    assert not shares._held
