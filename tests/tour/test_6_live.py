"""6. Listen to changes as they happen: GET /api/v1/live is a stream of events."""

from __future__ import annotations

from support.processes import Deployment

from tributary.client import Tributary


def test_a_listener_gets_each_change(deployment: Deployment):
    with Tributary(deployment.url) as client:
        changes = client.watch("plane-1")
        client.record(device="plane-1", speed=200)
        assert next(changes)["current_speed"] == 200
        client.record(device="plane-1", speed=210)
        assert next(changes)["current_speed"] == 210
        changes.close()
