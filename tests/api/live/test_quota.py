"""One token, or one address, cannot use up the listeners of a process."""

from __future__ import annotations

import pytest

from api.live.quota import Quota
from tributary.errors import Refused
from tributary.settings import Settings


def test_limits_the_listeners_of_a_token_and_of_an_address():
    quota = Quota(Settings(live_listeners_per_token=2, live_listeners_per_address=3))
    for _ in range(2):
        quota.take("phone", "10.0.0.1")
    with pytest.raises(Refused, match="token phone has 2 listeners") as refused:
        quota.take("phone", "10.0.0.2")
    assert (refused.value.status, refused.value.code) == (429, "too_many_listeners")
    quota.take("tablet", "10.0.0.1")
    with pytest.raises(Refused, match=r"address 10\.0\.0\.1 has 3"):
        quota.take("", "10.0.0.1")
    quota.release("phone", "10.0.0.1")
    quota.take("phone", "10.0.0.1")


def test_keeps_nothing_after_the_last_listener_has_left():
    quota = Quota(Settings())
    for number in range(1000):
        quota.take(f"t-{number}", f"10.0.0.{number}")
        quota.release(f"t-{number}", f"10.0.0.{number}")
    assert not quota._held
