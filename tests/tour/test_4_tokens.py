"""4. Create tokens: as soon as one exists, every request needs one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import Deployment, tributary
from support.waiting import wait_until


@pytest.fixture
def own_deployment(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment for this test only, because a token changes what it accepts."""
    running = Deployment(tmp_path / "data")
    yield running
    running.stop()


def create_token(deployment: Deployment, *options: str) -> str:
    """Run `tributary token create` and return the header that sends the token."""
    command = tributary("token", "create", *options, "--data-dir", str(deployment.data_dir))
    assert command.end() == 0, command.text
    secret = command.text.splitlines()[-1]
    return f"Bearer {secret}"


def test_a_token_allows_its_scope_and_its_devices_only(own_deployment: Deployment):
    recorder = create_token(own_deployment, "--device", "car-*", "--scope", "record")
    reading = {"device": "car-1", "speed": 50}

    def needs_a_token() -> bool:
        return own_deployment.post("/record", reading)[0] == 401

    # The processes notice a new token within two seconds.
    wait_until(needs_a_token, "tokens to be required")
    assert own_deployment.post("/record", reading, Authorization=recorder)[0] == 200

    # Another device, and another scope.
    other = {"device": "van-1", "speed": 50}
    assert own_deployment.post("/record", other, Authorization=recorder)[0] == 403
    assert own_deployment.get("/collect?device=car-1", Authorization=recorder)[0] == 403
