"""The commands that each role sends to Redis: for ACL rules, and to find missing permissions.

The commands in a script need the permissions of the user that calls it, so they are included.
"""

from __future__ import annotations

from typing import Any

import redis

from tributary.store import keys

_READINGS, _META, _ROWS = keys.readings(0), keys.meta(0), keys.rows(0)
_LATEST, _BEYOND, _DEVICES = keys.latest(0), keys.beyond(0), keys.devices(0)
_STATE, _WINDOWS, _WINDOWS_2 = keys.state(0), keys.windows(0), keys.windows_2(0)  # of format 2
_FREE, _CHUNK = keys.free(0), f"{keys.state_chunks(0)}0"
_BESIDE = keys.counters(0), keys.quantiles(0)
_ALERTS, _DUE, _TRANSITIONS = keys.alerts(0), keys.due(0), keys.transitions(0)
_DELIVERED, _UNDELIVERED, _SILENCES = keys.delivered(0), keys.undelivered(0), keys.silences(0)
_SEND_ALERTS = (
    ("GET", keys.ALERT_SENDER), ("SET", keys.ALERT_SENDER, "v"), ("PEXPIRE", keys.ALERT_SENDER, "1"),
    ("DEL", keys.ALERT_SENDER), ("HGET", keys.meta(0), "f"), ("ZRANGE", _TRANSITIONS, "0", "-1"),
    ("HSETNX", _DELIVERED, "f", "v"), ("HMGET", _DELIVERED, "f"), ("HSET", _DELIVERED, "f", "v"),
    ("LPUSH", _UNDELIVERED, "v"), ("LTRIM", _UNDELIVERED, "0", "1"), ("HGET", _SILENCES, "f"),
    ("HSCAN", _SILENCES, "0"), ("HDEL", _SILENCES, "f"), ("LRANGE", _UNDELIVERED, "0", "-1"),
    ("LREM", _UNDELIVERED, "1", "v"), ("MULTI",), ("EXEC",), ("DEL", keys.ALERT_DESTINATIONS),
    ("HSET", keys.ALERT_DESTINATIONS, "f", "v"), ("HINCRBY", keys.ALERT_DELIVERIES, "f", "1"),
)  # fmt: skip
_COUNT_ALERTS = (
    ("HSCAN", _ALERTS, "0"), ("HGET", keys.meta(0), "f"), ("HGETALL", _DELIVERED),
    ("HGETALL", keys.ALERT_DESTINATIONS), ("HGETALL", keys.ALERT_DELIVERIES),
)  # fmt: skip
_FORGETS, _BURIED = keys.forgets(0), keys.buried(0)
_ONCE, _CLAIM = keys.once(0, "k"), keys.claim(0, "k")
_START = (
    ("PING",),
    ("ROLE",),
    ("INFO",),
    ("CONFIG", "GET", "appendfsync"),
    ("SCRIPT", "LOAD", "return 1"),
    ("HSETNX", keys.CONFIG, "f", "v"),
    ("HGETALL", keys.CONFIG),
)
_TOKENS = (("HGETALL", keys.TOKENS), ("HGET", keys.TOKENS, "f"))
_REFUSALS = (("HINCRBY", keys.REFUSALS, "f", "1"), ("HGETALL", keys.REFUSALS))
_COUNTED = tuple(("HGETALL", key) for key in (keys.IGNORED, keys.REQUESTS, keys.TIMINGS))
_HEARTBEATS = (("TIME",), ("ZRANGE", keys.WORKERS, "0", "-1", "WITHSCORES"))
_SCRIPTED = (("EVALSHA", "0" * 40, "2", _READINGS, _META), ("EVAL", "return 1", "1", _META))
_ACCOUNT = (
    ("EVAL", "return 1", "1", _META),
    *_HEARTBEATS,
    ("HMGET", _META, "f"),
    ("HLEN", _ROWS),
    ("HLEN", _STATE),
    ("XLEN", _READINGS),
    ("XRANGE", _READINGS, "-", "+"),
    ("ZCARD", _DEVICES),
)
_READ_SERIES = (
    ("EVALSHA", "0" * 40, "1", _META), ("EVAL", "return 1", "1", _META),
    *(("HMGET", name, "f") for name in (_META, _LATEST, _ROWS, *_BESIDE)),
    *(("HGET", name, "f") for name in (_BEYOND, _STATE, _WINDOWS_2)),
    ("GETRANGE", _CHUNK, "0", "1"), ("GET", _CHUNK), ("EXISTS", _BEYOND, _STATE), ("TYPE", _WINDOWS),
)  # fmt: skip
_JOB, _RESULTS = keys.job("j"), keys.job_results("j")
_COUNT_JOBS = (
    ("LLEN", keys.QUEUED),
    ("ZCARD", keys.SCHEDULED),
    ("ZCARD", keys.FAILED),
    ("LINDEX", keys.QUEUED, "0"),
    ("TIME",),
    ("HGET", _JOB, "f"),
    ("HGETALL", keys.JOB_RUNS),
)
_QUEUE_JOB = (
    ("EVAL", "return 1", "1", keys.QUEUED),
    ("HGET", _JOB, "f"),
    ("LLEN", keys.QUEUED),
    ("DEL", _JOB, _RESULTS),
    ("ZREM", keys.FAILED, "m"),
    ("ZREM", keys.FINISHED, "m"),
    ("HSET", _JOB, "f", "v"),
    ("SADD", keys.QUEUES, "m"),
    ("RPUSH", keys.QUEUED, "m"),
)
_MOVE_JOB = (
    *_QUEUE_JOB,
    ("TYPE", keys.FAILED),
    ("LREM", keys.QUEUED, "1", "m"),
    ("ZREM", keys.SCHEDULED, "m"),
    ("EXISTS", _JOB),
    ("PERSIST", _JOB),
    ("HDEL", _JOB, "f"),
    ("LPUSH", keys.QUEUED, "m"),
    ("HGETALL", _JOB),
    ("MULTI",),
    ("EXEC",),
)
_EXECUTION, _EXECUTIONS, _WORKER = "rq:execution:j:e", "rq:executions:j", "rq:worker:w"
_ARCHIVE = (
    ("HMGET", _META, "f"), ("HSET", _META, "f", "v"), ("ZRANGE", _BURIED, "0", "-1"),
    ("XRANGE", _READINGS, "-", "+"),
)  # fmt: skip
_RUN_JOBS = (
    *_MOVE_JOB, ("PING",), ("INFO",), ("TIME",),
    ("BLMOVE", keys.QUEUED, keys.TAKEN, "LEFT", "RIGHT", "1"), ("LREM", keys.TAKEN, "1", "m"),
    ("LRANGE", keys.TAKEN, "0", "-1"), ("HEXISTS", _WORKER, "f"), ("HSET", _WORKER, "f", "v"),
    *(("EXPIRE", key, "1") for key in (_JOB, _RESULTS, _EXECUTION, _EXECUTIONS, _WORKER)),
    *(("DEL", key) for key in (_EXECUTION, _EXECUTIONS, _WORKER)),
    ("HSET", _EXECUTION, "f", "v"), ("HGETALL", _EXECUTION),
    *(("ZADD", key, "0", "m") for key in (_EXECUTIONS, keys.STARTED, keys.SCHEDULED)),
    *(("ZADD", key, "0", "m") for key in (keys.FAILED, keys.FINISHED, keys.JOBS)),
    ("ZREM", _EXECUTIONS, "m"), ("ZREM", keys.STARTED, "m"), ("ZREM", keys.JOBS, "m"),
    ("ZSCORE", keys.STARTED, "m"), ("ZRANGE", keys.STARTED, "0", "-1"),
    ("ZRANGE", keys.JOBS, "0", "-1", "WITHSCORES"), ("ZRANGE", keys.FAILED, "0", "-1"),
    ("ZRANGEBYSCORE", keys.SCHEDULED, "0", "0"), ("ZRANGEBYSCORE", keys.STARTED, "0", "0"),
    *(("ZREMRANGEBYSCORE", key, "0", "0") for key in (keys.STARTED, keys.FAILED, keys.JOBS)),
    ("XADD", _RESULTS, "*", "f", "v"), ("XTRIM", _RESULTS, "MAXLEN", "1"),
    *(("SADD", f"rq:{name}", "m") for name in ("workers", f"workers:{keys.QUEUE}")),
    *(("SREM", f"rq:{name}", "m") for name in ("workers", f"workers:{keys.QUEUE}")),
    ("SADD", f"{_WORKER}:executions", "m"), ("SREM", f"{_WORKER}:executions", "m"),
    ("GET", keys.SCHEDULER), ("SET", keys.SCHEDULER, "v"), ("PEXPIRE", keys.SCHEDULER, "1"),
    ("DEL", keys.SCHEDULER), ("HGETALL", keys.SCHEDULE), ("HSET", keys.SCHEDULE, "f", "v"),
    ("SMEMBERS", f"rq:workers:{keys.QUEUE}"), ("HINCRBY", keys.JOB_RUNS, "f", "1"),
)  # fmt: skip
_EXPORTS = (
    *((command, keys.EXPORTS, "f") for command in ("HMGET", "HDEL", "HEXISTS")),
    ("HSET", keys.EXPORTS, "f", "v"), ("HGETALL", keys.EXPORTS),
)  # fmt: skip
_READ_STREAMS = (
    ("HMGET", _META, "f"), ("XRANGE", _READINGS, "-", "+"), ("ZRANGE", _BURIED, "0", "-1"),
    ("XLEN", _READINGS), ("HGETALL", _FORGETS),
)  # fmt: skip
_SILENCE = (
    ("HSCAN", _SILENCES, "0"), ("HSET", _SILENCES, "f", "v"), ("HDEL", _SILENCES, "f"),
    ("HLEN", _SILENCES), ("HEXISTS", _ROWS, "f"),
)  # fmt: skip
_COPY, _HOLES, _FORGOTTEN = keys.copy(_READINGS), keys.holes(0), keys.forgotten("r")
_FORGET = (
    ("EXISTS", _FORGETS, _HOLES), ("HLEN", _FORGETS), ("HGET", _META, "f"),
    *((command, name, "f") for name in (_FORGETS, _HOLES) for command in ("HDEL", "HGET")),
    *(("HSET", name, "f", "v") for name in (_FORGETS, _HOLES, _FORGOTTEN, _META)),
    *(("HINCRBY", name, "f", "1") for name in (_META, _HOLES)), ("HMGET", _HOLES, "f"),
    ("HMGET", _LATEST, "f"), ("ZRANGEBYLEX", _DEVICES, "-", "+"),
    ("XADD", _READINGS, "*", "f", "v"), ("XADD", _COPY, "*", "f", "v"),
    ("XREVRANGE", _COPY, "+", "-"), ("XLEN", _COPY), ("XINFO", "STREAM", _READINGS),
    ("XSETID", _COPY, "0-1"), ("XDEL", _COPY, "0-1"), ("UNLINK", _READINGS), ("DEL", _COPY),
    ("RENAME", _COPY, _READINGS),
    ("HGETALL", _FORGOTTEN), ("EXPIRE", _FORGOTTEN, "1"),
    ("SCAN", "0"), ("TYPE", _ONCE), ("GET", _ONCE),
    *(("HSCAN", name, "0") for name in (_ROWS, _BEYOND, *_BESIDE, _STATE, _WINDOWS_2, _LATEST, _ALERTS, keys.CONFIG)),
    *(("ZSCAN", name, "0") for name in (_DEVICES, _DUE, _TRANSITIONS)), ("SSCAN", "rq:workers", "0"), ("LRANGE", keys.QUEUED, "0", "-1"),
    ("BGREWRITEAOF",), ("BGSAVE",), ("CONFIG", "GET", "save"), ("SLOWLOG", "RESET"),
)  # fmt: skip
_APPENDS = (
    ("GET", _ONCE), ("SET", _ONCE, "v"), ("PEXPIRE", _ONCE, "1"),
    ("GET", _CLAIM), ("SET", _CLAIM, "v"),
    ("HMGET", _META, "f"), ("HINCRBY", _META, "f", "1"), ("HSET", _META, "f", "v"),
    ("XADD", _READINGS, "*", "f", "v"), ("WAIT", "1", "1"),
    *((command, name, *field) for command, *field in (("HLEN",), ("HMGET", "f")) for name in (_ROWS, _STATE)),
    ("ZCARD", _DEVICES), ("ZMSCORE", _DEVICES, "m"), ("HGETALL", keys.TOKEN_USE),
)  # fmt: skip

_AUDIT = (
    *_READ_SERIES, ("MULTI",), ("EXEC",),
    ("HGET", _FORGETS, "f"), ("ZMSCORE", _DEVICES, "m"), ("ZRANGEBYLEX", _DEVICES, "-", "+"),
    ("XRANGE", _READINGS, "-", "+"), ("XLEN", _READINGS), ("ZRANGE", keys.buried(0), "0", "-1"), *(("HLEN", key) for key in (_ROWS, _STATE, _LATEST)),
    *(("HGETALL", key) for key in (keys.CONFIG, _META)), ("HGET", _HOLES, "f"),
    ("ZCARD", _DEVICES), ("HSCAN", _LATEST, "0"),
)  # fmt: skip

# Role → commands with arguments of the right shape: an ACL may restrict the keys among them.
NEEDED: dict[str, tuple[tuple[str, ...], ...]] = {
    "ingest": (
        *_START, *_TOKENS, *_SCRIPTED, *_REFUSALS, *_APPENDS,
        *_COUNTED[:2], *(("HINCRBY", key, "f", "1") for key in (keys.IGNORED, keys.REQUESTS, keys.TOKEN_USE)),
    ),
    "mqtt": (
        *_START, *_SCRIPTED, *_APPENDS, ("TIME",),
        ("ZADD", keys.BRIDGES, "0", "m"), ("ZREMRANGEBYSCORE", keys.BRIDGES, "0", "0"),
        ("ZRANGE", keys.BRIDGES, "0", "-1", "WITHSCORES"), ("HINCRBY", keys.MESSAGES, "f", "1"),
    ),
    "aggregator": (
        *_START, *_SCRIPTED, *_HEARTBEATS,
        ("EXISTS", _READINGS), ("XRANGE", _READINGS, "-", "+"), ("XSETID", _READINGS, "0-1"),
        ("XREADGROUP", "GROUP", keys.GROUP, "w", "STREAMS", _READINGS, ">"),
        ("XINFO", "GROUPS", _READINGS), ("XINFO", "STREAM", _READINGS),
        ("XGROUP", "CREATE", _READINGS, keys.GROUP, "0"),
        ("XGROUP", "SETID", _READINGS, keys.GROUP, "0"),
        ("XGROUP", "DESTROY", _READINGS, keys.FORMER_GROUP),
        ("XADD", keys.dead(0), "*", "f", "v"),
        ("ZADD", _BURIED, "0", "m"), ("ZREMRANGEBYSCORE", _BURIED, "0", "0"),
        ("HGETALL", _META), ("HGET", _META, "f"), ("HINCRBY", _META, "f", "1"),
        *_READ_SERIES,
        *(("HSET", name, "f", "v") for name in (_META, _ROWS, _BEYOND, _LATEST, *_BESIDE, keys.CONFIG)),
        *(("HDEL", name, "f") for name in (_ROWS, _BEYOND, _LATEST, _FORGETS, _STATE, _WINDOWS_2, *_BESIDE)),
        *(("HKEYS", name) for name in (_ROWS, _STATE)), ("HRANDFIELD", _STATE, "1"),
        ("HSCAN", _ROWS, "0"), ("SETRANGE", _CHUNK, "0", "v"), ("RPUSH", _FREE, "v"), ("LTRIM", _FREE, "0", "1"),
        ("LRANGE", _FREE, "0", "1"), ("RENAMENX", _WINDOWS, _WINDOWS_2), ("SET", _WINDOWS, "v"),
        ("UNLINK", _WINDOWS_2), ("HGET", keys.CONFIG, "f"),
        ("HGET", _LATEST, "f"), ("HSET", _FORGETS, "f", "v"),
        ("HSET", _ALERTS, "f", "v"), ("HDEL", _ALERTS, "f"), ("HMGET", _ALERTS, "f"),
        *(("HSCAN", name, "0") for name in (_ALERTS, _ROWS)), ("EXISTS", _STATE),
        *(("ZADD", name, "0", "m") for name in (_DUE, _TRANSITIONS)),
        *(("ZREM", name, "m") for name in (_DUE, _TRANSITIONS)),
        *(("ZRANGE", name, "0", "-1") for name in (_DUE, _TRANSITIONS)),
        ("ZREMRANGEBYSCORE", _TRANSITIONS, "0", "0"),
        *(("HLEN", name) for name in (_ROWS, _BEYOND, _LATEST, _STATE, *_BESIDE)),
        ("ZCARD", _DEVICES), ("ZADD", _DEVICES, "0", "m"),
        ("ZREM", _DEVICES, "m"),
        ("ZADD", keys.WORKERS, "0", "m"), ("ZREM", keys.WORKERS, "m"),
        ("ZREMRANGEBYSCORE", keys.WORKERS, "0", "0"), ("HINCRBY", keys.TIMINGS, "f", "1"),
    ),
    "jobs": (
        *_START, *_SCRIPTED, *_RUN_JOBS, *_EXPORTS, *_READ_STREAMS, *_AUDIT, *_FORGET, *_ARCHIVE, *_SEND_ALERTS,
    ),
    "api": (
        *_START, *_TOKENS, *_REFUSALS, *_COUNTED, *_ACCOUNT, ("MULTI",), ("EXEC",),
        *_COUNT_JOBS, *_QUEUE_JOB, *_EXPORTS, ("HGETALL", keys.MESSAGES), ("ZRANGE", keys.BRIDGES, "0", "-1", "WITHSCORES"),
        ("HGET", _META, "f"), ("HGET", _LATEST, "f"), ("ZRANGEBYLEX", _DEVICES, "-", "+"),
        *_READ_SERIES, *_COUNT_ALERTS, ("ZRANGE", _TRANSITIONS, "0", "-1"), *_SILENCE,
    ),
    "operator": (
        *_READ_STREAMS, *_COUNT_JOBS, *_MOVE_JOB, ("XREVRANGE", _RESULTS, "+", "-"), ("LRANGE", keys.QUEUED, "0", "-1"),
        ("ZRANGE", keys.FAILED, "0", "-1"), *_TOKENS, *_ACCOUNT, ("PING",), ("ROLE",), ("INFO",), ("MULTI",), ("EXEC",),
        ("HSET", keys.TOKENS, "f", "v"), ("HDEL", keys.TOKENS, "f"),
        ("HKEYS", keys.TOKEN_USE), ("HDEL", keys.TOKEN_USE, "f"),
        ("XRANGE", keys.dead(0), "-", "+"), ("XDEL", keys.dead(0), "0-1"),
        ("HINCRBY", _META, "f", "1"), ("XADD", _READINGS, "*", "f", "v"),
        ("HLEN", _FORGETS), ("HDEL", _FORGETS, "f"), ("HSET", _FORGETS, "f", "v"),
        ("HGETALL", _FORGETS), ("ZRANGEBYLEX", _DEVICES, "-", "+"), ("HMGET", _LATEST, "f"),
        ("HGET", keys.CONFIG, "f"), ("HGETALL", keys.CONFIG), ("HGETALL", keys.REFUSALS), *_COUNTED,
        ("HLEN", _LATEST), ("HRANDFIELD", _LATEST, "1", "WITHVALUES"), *_COUNT_ALERTS,
        *_SILENCE, ("LRANGE", _UNDELIVERED, "0", "-1"),
        *_AUDIT,
    ),
}  # fmt: skip


# Commands that requests need, with arguments that make them fail without changing anything:
# Redis checks the permission before the id, the number, the options or the script.
_READ_PROBES = (
    ("HGET", _LATEST, ""),
    ("HMGET", _ROWS, ""),
    ("GETRANGE", _CHUNK, "0", "x"),
    ("ZRANGEBYLEX", _DEVICES, "-", "+", "LIMIT", "0", "0"),
)
_WRITE_PROBES = (
    ("EVALSHA", "0" * 40, "1", _META),
    ("HMGET", _META, "entries"),
    ("HINCRBY", _META, "entries", "x"),
    ("HSET", _META, "entries", "1", "x"),
    ("XADD", _READINGS, "0-0", "f", "v"),
)


def check(client: redis.Redis, *, writes: bool) -> None:
    """Probe the permissions that requests need; other errors are expected and ignored.

    Args:
        client: of the server or cluster.
        writes: whether to probe what `/record` needs, or what the read API needs.

    Raises:
        redis.exceptions.NoPermissionError: names the first one that is missing.
    """
    pipeline = client.pipeline(transaction=False)
    for command in _WRITE_PROBES if writes else _READ_PROBES:
        pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
    for reply in pipeline.execute(raise_on_error=False):
        if isinstance(reply, redis.exceptions.NoPermissionError):
            raise reply


def denied(client: redis.Redis, user: str, role: str) -> list[str]:
    """The permissions that a Redis user lacks for a role, as the server words them.

    Raises:
        redis.RedisError: ACL DRYRUN is denied, or the server did not reply.
    """
    pipeline = client.pipeline(transaction=False)
    for command in NEEDED[role]:
        pipeline.acl_dryrun(user, *command)
    replies: list[Any] = pipeline.execute()
    return sorted({reply.decode() for reply in replies if reply != b"OK"})


def rules(role: str) -> list[str]:
    """The rules for ACL SETUSER that a user with this role needs."""
    containers = (
        "CONFIG",
        "SCRIPT",
        "SLOWLOG",
        "XINFO",
        "XGROUP",
    )  # a permission names the subcommand, too
    names = {"|".join(c[: 2 if c[0] in containers else 1]).lower() for c in NEEDED[role]}
    patterns = ["~tributary:*", *(["~rq:*"] if "rq:queues" in sum(NEEDED[role], ()) else [])]
    return [*patterns, "-@all", *sorted(f"+{name}" for name in names)]
