"""Whether the servers can serve us now: what `/readyz` asks of Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import redis

from tributary.errors import TributaryError
from tributary.store import acl
from tributary.store.redis_client import failures
from tributary.store.topology import servers

_REPLICA_LAG_MAX_S = 3  # replicas confirm every second
# Refused as every write is (READONLY, MISCONF, NOREPLICAS, OOM), because it lacks `no-writes`.
_WRITES_NOTHING = "#!lua\nreturn 1"


def check(
    client: redis.Redis, *, writes: bool, level: str = "aof", partitions: int = 0
) -> Callable[[], str | None]:
    """A check that returns why the server cannot serve us now, or None.

    Args:
        client: of the server or cluster.
        writes: whether it must be able to take writes.
        partitions: of the deployment; of a cluster, only the masters that hold one are asked.
        level: of durability; for `replicated` a replica must be confirming.
    """

    def reason() -> str | None:
        try:
            with failures():
                states = [
                    _state(server, level if writes else None)
                    for server in servers(client, partitions)
                ]
                acl.check(client, writes=writes)
        except TributaryError as error:
            return str(error)
        return next((reason for reason in states if reason is not None), None)

    return reason


def _state(server: redis.Redis, level: str | None) -> str | None:
    """Why a server takes no writes at this level; an exception if it does not reply."""
    if level is None:
        server.ping()
        return None
    state = {**server.info("replication"), **server.info("persistence")}
    if state["role"] != "master":
        return f"the server is a {state['role']}: it takes no writes"
    if state.get("aof_last_write_status", "ok") != "ok":
        return "the server cannot write its append-only file; look at its disk"
    if level == "replicated" and (reason := unconfirmed(state)) is not None:
        return reason
    server.eval(_WRITES_NOTHING, 0)
    return None


def unconfirmed(replication: Mapping[str, Any]) -> str | None:
    """Why no replica confirms writes now, from INFO replication; None if one does.

    A replica that has stopped stays online for `repl-timeout`, a minute, but its lag grows.
    """
    replicas = [
        replication[f"slave{number}"] for number in range(int(replication["connected_slaves"]))
    ]
    lags_s = [int(r.get("lag", 0)) for r in replicas if r.get("state") == "online"]
    if any(0 <= lag_s <= _REPLICA_LAG_MAX_S for lag_s in lags_s):
        return None
    seen = f"the newest confirmation is {min(lags_s)} s old" if lags_s else "none is online"
    return (
        f"no replica confirms, as durability=replicated needs: {seen}, "
        f"{len(replicas)} connected; start a replica or look at its log"
    )
