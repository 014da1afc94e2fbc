"""The check behind `/readyz`: whether the Redis servers can serve requests now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import redis

from tributary.errors import TributaryError
from tributary.store import acl, keys
from tributary.store.redis_client import failures
from tributary.store.topology import is_cluster, servers

_REPLICA_LAG_MAX_S = 3  # replicas acknowledge every second
# Rejected like any write (READONLY, MISCONF, NOREPLICAS, OOM): it lacks the flag `no-writes`.
_WRITES_NOTHING = "#!lua\nreturn 1"


def check(
    client: redis.Redis, *, writes: bool, replicas: int = 0, partitions: int = 0
) -> Callable[[], str | None]:
    """Return a check that returns why Redis is not ready, or None if it is.

    With `writes` it must accept writes, and `replicas` of its replicas must acknowledge them. In a
    cluster, only masters that hold a partition are checked.
    """

    def reason() -> str | None:
        try:
            with failures():
                nodes = servers(client, partitions)
                states = [_state(node, replicas if writes else None) for node in nodes]
                acl.check(client, writes=writes)
                if is_cluster(client):  # which may be down although every master replies
                    client.hmget(keys.meta(0), "epoch")
        except TributaryError as error:
            return str(error)
        return next(filter(None, states), None)

    return reason


def _state(server: redis.Redis, replicas: int | None) -> str | None:
    """Why a server does not accept writes, or None. Raises if it does not reply.

    `replicas`: those that must acknowledge writes; None: it need not accept any.
    """
    if replicas is None:
        server.ping()
        return None
    state = {**server.info("replication"), **server.info("persistence")}
    if state["role"] != "master":
        return f"the server is a {state['role']} and read-only"
    if state.get("aof_last_write_status", "ok") != "ok":
        return "the server cannot write its append-only file; check its disk"
    if replicas and (reason := too_few_replicas(state, replicas)):
        return reason
    server.eval(_WRITES_NOTHING, 0)
    return None


def too_few_replicas(replication: Mapping[str, Any], needed: int = 1) -> str | None:
    """Why too few replicas acknowledge writes, from INFO replication; None if enough do.

    A stopped replica stays online for `repl-timeout`, a minute, but its lag grows.
    """
    count = int(replication["connected_slaves"])
    replicas = [replication[f"slave{number}"] for number in range(count)]
    lags_s = [int(r.get("lag", 0)) for r in replicas if r.get("state") == "online"]
    acknowledging = sum(0 <= lag_s <= _REPLICA_LAG_MAX_S for lag_s in lags_s)
    if acknowledging >= needed:
        return None
    if acknowledging:
        return (
            f"{acknowledging} of {needed} replicas acknowledge writes, as wait_replicas requires; "
            "start the others, or check their logs"
        )
    seen = f"the last acknowledgement is {min(lags_s)} s old" if lags_s else "none is online"
    return (
        f"no replica acknowledges writes, as durability=replicated requires: {seen}, "
        f"{count} connected; start a replica, or check its log"
    )
