"""A deployment with one partition, so that one stream has all readings in order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.processes import Deployment
from support.raw import connected, post

from tributary.model import frame
from tributary.store import keys


class Watched:
    """A deployment, and the readings recorded since the last call."""

    def __init__(self, deployment: Deployment) -> None:
        self.url = deployment.url
        self.process = deployment.process
        self.redis = deployment.redis
        self._seen = b"-"

    def recorded(self) -> list[str]:
        """The devices of the new readings, in order."""
        with connected(self.url) as raw:  # a fence: earlier readings precede it
            raw.send(post("fence", "Connection: close"))
            assert [response.status for response in raw.responses()] == [200]
        entries = self.redis.xrange(keys.readings(0), self._seen)
        self._seen = b"(" + entries[-1][0]
        frames = [fields[b"r"] for _, fields in entries]
        blocks = frame.unpack_all(frames, is_sealed=True)
        return [str(device) for device, _, _ in blocks if device != "fence"]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    one = {"TRIBUTARY_PARTITIONS": "1"}
    deployment = Deployment(tmp_path_factory.mktemp("lane"), environ=one)
    yield Watched(deployment)
    assert deployment.stop() == 0, deployment.process.text
    assert "Traceback" not in deployment.process.text
