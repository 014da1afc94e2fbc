"""SIGTERM ends every role in order, also while Redis does not respond."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from support.pipeline import environ
from support.processes import Process, Server, stopped

from tributary.settings import Settings

STARTED = re.compile("serving|aggregator started|jobs started")
ROLES = ("ingest", "api", "aggregator", "jobs")  # for mqtt: tests/bridge/test_bridge_process.py


@pytest.mark.slow
def test_every_role_ends_in_order_while_redis_does_not_respond(
    own_server: Callable[..., Server], run: Callable[..., Process], tmp_path: Path
):
    server = own_server()
    settings = Settings(redis_url=server.url, port=0, data_dir=str(tmp_path), jobs_workers=1)
    running = {role: run(role, environ=environ(settings)) for role in ROLES}
    for process in running.values():
        process.wait_for(STARTED)
    with stopped(server.process):
        for process in running.values():
            process.popen.terminate()
        for role, process in running.items():
            assert process.end() == 0, (role, process.text)
            assert "Traceback" not in process.text
