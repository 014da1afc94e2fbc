"""The counts of alerts are bounded, and a user who may not read them still gets everything else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
from support.processes import Server

from tributary.model import alert
from tributary.model.alert import AlertState
from tributary.operate import alert_counts, status
from tributary.settings import Settings
from tributary.store import keys, redis_client


def test_counts_a_bounded_number_of_alerts(
    client: redis.Redis, change: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
):
    settings = change(partitions=2)
    monkeypatch.setattr(alert_counts, "COUNTED_MAX", 500)
    monkeypatch.setattr(alert_counts, "_PAGE", 100)
    packed = alert.encode({"high": AlertState("firing", 0, 1.0, "critical")})
    for partition in range(2):
        fields = {f"d{number}|m": packed for number in range(1_000)}
        client.hset(keys.alerts(partition), mapping=fields)
    found = alert_counts.read(client, settings.partitions)
    assert found is not None
    assert not found.is_complete
    assert 500 <= sum(found.alerts.values()) < 2_000
    assert alert_counts.summary(found).startswith("at least ")


def test_a_user_who_may_not_read_alerts_gets_the_rest(own_server: Callable[..., Server]):
    server = own_server()
    settings = Settings(redis_url=server.url, partitions=2)
    redis_client.prepare(server.client, settings)
    rules = ["~*", "&*", "+@all", "-hscan"]
    server.client.execute_command("ACL", "SETUSER", "old", "reset", "on", ">pw", *rules)
    user = redis_client.connect(Settings(redis_url=server.url.replace("//", "//old:pw@")))
    try:
        assert alert_counts.read(user, settings.partitions) is None
        assert status.read(user, settings).pending == 0
    finally:
        user.close()
    assert "tributary doctor" in alert_counts.summary(None)
