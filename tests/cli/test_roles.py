"""A new role needs one package with one record, and one line in a list."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from support import forking
from support.processes import Deployment, Server, tributary
from support.waiting import wait_until

RECORD = """
    import signal
    from pathlib import Path

    from tributary.process.role import WorkerRole

    FOLDER = Path(__file__).parent


    def run(settings):
        signal.signal(signal.SIGTERM, lambda *_: None)
        (FOLDER / "running").write_text(settings.redis_url)
        signal.pause()
        (FOLDER / "stopped").touch()


    ROLE = WorkerRole(
        "greeter",
        description="Greet until SIGTERM.",
        example="tributary greeter --port 7",
        run=run,
        processes=lambda settings: 2,
        is_ready=lambda client, settings: (FOLDER / "running").exists(),
        options=("port",),
    )
"""
# In the project, this line is in tributary/cli/roles.py; here, every process adds it.
LINE = """
    from tributary.cli import roles

    roles.ROLES["greeter"] = roles.Entry("greeter.role", "the role that greets")
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "greeter").mkdir()
    (tmp_path / "greeter" / "role.py").write_text(dedent(RECORD))
    (tmp_path / "sitecustomize.py").write_text(dedent(LINE))
    return {"PYTHONPATH": str(tmp_path)}


def test_up_starts_and_stops_a_new_role_and_waits_until_it_is_ready(
    environ: dict[str, str], tmp_path: Path
):
    up = Deployment(tmp_path / "data", environ=environ)
    greeter = tmp_path / "greeter"
    redis_url = (tmp_path / "data" / "redis.url").read_text().strip()
    assert (greeter / "running").read_text() == redis_url, "ready before the role was"
    assert up.stop() == 0
    assert (greeter / "stopped").exists()


def test_a_new_role_has_a_command(environ: dict[str, str]):
    listing = tributary("--help", environ=environ)
    assert listing.end() == 0
    assert re.search(r"greeter +the role that greets", listing.text)
    own = tributary("greeter", "--help", environ=environ)
    assert own.end() == 0
    assert "Greet until SIGTERM." in own.text
    assert "Example: tributary greeter --port 7" in own.text
    assert set(re.findall(r"^ +(--[a-z-]+)", own.text, re.MULTILINE)) == {
        "--port", "--redis-url", "--log-level", "--log-format",
    }  # fmt: skip


def test_a_new_role_runs_by_itself(environ: dict[str, str], tmp_path: Path, server: Server):
    process = tributary("greeter", "--redis-url", server.url, environ=environ)
    wait_until((tmp_path / "greeter" / "running").exists, "the role to run")
    assert process.stop() == 0
    assert (tmp_path / "greeter" / "stopped").exists()


@pytest.mark.parametrize("role", ["ingest", "api", "up"])
def test_http_roles_share_the_options_of_up(role: str):
    words = [sys.executable, "-m", "tributary", role, "--help"]
    printed = forking.run(words).stdout
    for option in ("--host", "--port", "--ingest-workers", "--redis-url"):
        assert f"  {option} " in printed


def test_up_imports_no_implementation_of_a_role():
    """It would cost every start a third of a second."""
    script = """
        import sys
        import tributary.cli.up
        from tributary.cli import roles
        roles.load_all()
        implementation = {"aggregator.worker", "api.app", "ingest.app", "gunicorn", "numpy"}
        print(sorted(implementation & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(script)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("typed", "meant"), [("stauts", "status"), ("aggregatr", "aggregator")])
def test_an_unknown_command_is_exit_2_with_the_nearest_one(typed: str, meant: str):
    process = tributary(typed)
    assert process.end() == 2
    assert f"Did you mean '{meant}'?" in process.text
