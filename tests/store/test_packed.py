"""A script gets the lists that were packed."""

from __future__ import annotations

import pytest
import redis

from tributary.store import packed

# Returns each list with its length, which a nil in it would change.
ECHO = b"""
local lists = cmsgpack.unpack(ARGV[1])
for _, list in ipairs(lists) do table.insert(list, 1, #list) end
return lists
"""


@pytest.mark.parametrize(
    "lists",
    [
        [],
        [[]],
        [["a"], [], [b"\xff\x00\r\n", "é", ""]],
        [[b"x" * size for size in range(300)]],
        [[b"x" * 4_095], [b"x" * 4_096, "short"], [b"x" * 70_000]],
        [[f"word-{number}" for number in range(50_000)], ["last"]],
        [[]] * 20,
    ],
    ids=("nothing", "empty", "any bytes", "short", "long", "many", "empty ones"),
)
def test_a_script_gets_the_lists(client: redis.Redis, lists: list[list[str | bytes]]):
    expected = [
        [len(words), *(w.encode() if isinstance(w, str) else w for w in words)] for words in lists
    ]
    assert client.eval(ECHO, 0, packed.pack(lists)) == expected
