"""A long command is packed into the same bytes as by the client library."""

from __future__ import annotations

import pytest

from tributary.store.pipe import pack
from tributary.store.resp import pack_long


@pytest.mark.parametrize(
    "command",
    [
        ("EVALSHA", "sha", "1", "key"),
        ("HSET", "é", b"", "", b"\r\n$1\r\n", *(b"x" * size for size in range(300))),
        ("SET", "key", b"x" * 4_095),
        ("SET", "key", b"x" * 4_096),
        tuple(f"word-{number}" for number in range(5_000)),
    ],
    ids=("short", "any bytes", "longest", "too long", "many"),
)
def test_packs_like_the_client_library(command: tuple[str | bytes, ...]):
    assert pack_long(command) == pack(command)
