"""A server that keeps its data in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.processes import Server
from support.programs import needed

from tributary.settings import Settings


@pytest.fixture(params=["valkey", "redis"])
def site(
    request: pytest.FixtureRequest, own_server: Callable[..., Server], tmp_path: Path
) -> tuple[Server, Settings]:
    """A server with an append-only file and saved data, and settings for it."""
    binary = needed("redis-server") if request.param == "redis" else ""
    server = own_server(binary=binary, save="3600 1", rdbcompression="no")
    settings = Settings(
        redis_url=server.url, partitions=2, heartbeat_ms=100, history="off",
        data_dir=str(tmp_path / "data"),
    )  # fmt: skip
    return server, settings
