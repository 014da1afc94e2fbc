"""The scripts that run inside Redis, one file per operation, and how to call them by name."""

from __future__ import annotations

import hashlib
from importlib import resources


class Script:
    """One `.lua` file: its source and the SHA-1 under which Redis knows it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.source = resources.files(__package__).joinpath("lua", f"{name}.lua").read_bytes()
        self.sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()


APPEND = Script("append")
REPORT_TAIL = Script("report_tail")
COMMIT = Script("commit")
ATTEMPT = Script("attempt")
REGROUP = Script("regroup")
SETTLE = Script("settle")
FORGET = Script("forget")
HEARTBEAT = Script("heartbeat")
ALIVE = Script("alive")
ACCOUNT = Script("account")
REPLAY = Script("replay")

SCRIPTS = (
    APPEND, REPORT_TAIL, COMMIT, ATTEMPT, REGROUP, SETTLE, FORGET, HEARTBEAT, ALIVE, ACCOUNT, REPLAY
)  # fmt: skip
