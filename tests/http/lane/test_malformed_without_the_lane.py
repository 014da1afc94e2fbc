"""Without the lane, gunicorn parses HTTP: malformed requests are client errors, never a 500."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
from support.processes import HOSTS
from support.raw import connected, post
from support.webs import Web

from lane.corpus import CORPUS, filled
from tributary.settings import Settings


def statuses_of(web: Web, data: bytes) -> list[int]:
    with connected(f"http://127.0.0.1:{web.port}") as raw:
        raw.send(data)
        raw.finish()
        found = []
        with contextlib.suppress(AssertionError):  # a response without a length
            found += [response.status for response in raw.responses()]
        return found


@pytest.fixture
def web(change: Callable[..., Settings]) -> Iterator[Web]:
    found = Web(change(lane=False, public_hosts=f"here,{HOSTS}"))
    yield found
    found.close()


def test_malformed_requests_are_never_a_server_error(web: Web):
    next_request = post("next", "Connection: close")
    statuses = {
        case.name: statuses_of(web, filled(case, "/record", "first") + next_request)
        for case in CORPUS
    }
    # 501 is for a Transfer-Encoding that gunicorn does not support.
    wrong = {
        name: found for name, found in statuses.items() if any(s >= 500 and s != 501 for s in found)
    }
    assert not wrong
    assert "action=internal_error" not in web.process.text
    assert "Traceback" not in web.process.text
    assert web.record({"a": 1}).status == 200
