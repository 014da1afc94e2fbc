"""A receiver of webhooks, and settings to deliver to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.hook_receiver import SECRET, Receiver
from support.processes import Server

from tributary.settings import Settings


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.close()


@pytest.fixture
def settings(server: Server, receiver: Receiver) -> Settings:
    server.client.flushall()
    return Settings(
        redis_url=server.url, partitions=2, alert_webhooks=receiver.url,
        alert_webhook_secret=SECRET, alert_webhook_allow="127.0.0.1",
    )  # fmt: skip
