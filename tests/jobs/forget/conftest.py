"""A server that keeps its data in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.processes import Server

from tributary.settings import Settings


@pytest.fixture
def site(own_server: Callable[..., Server], tmp_path: Path) -> tuple[Server, Settings]:
    """A server with an append-only file and saved data, and settings for it."""
    server = own_server(save="3600 1")
    settings = Settings(
        redis_url=server.url, partitions=2, heartbeat_ms=100, history="off",
        data_dir=str(tmp_path / "data"),
    )  # fmt: skip
    return server, settings
