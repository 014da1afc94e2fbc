"""Error replies of Redis and the exceptions they mean. Pure."""

from __future__ import annotations

from tributary.errors import NotPermitted, TributaryError, Unavailable

# Errors of a server that rejects a command now and may accept it later.
_UNAVAILABLE = (
    "LOADING", "READONLY", "MASTERDOWN", "OOM", "MISCONF", "NOREPLICAS", "BUSY", "CLUSTERDOWN",
    "TRYAGAIN", "MOVED", "ASK", "UNBLOCKED", "max number of clients",
)  # fmt: skip
# A script that was executed while its slot moved has used a key that is on the other node.
_MOVED_IN_SCRIPT = "non local key"
SLOT_MOVING = "the slot of a partition is moving to another node of the cluster"
_NOT_PERMITTED = ("NOPERM", "NOAUTH", "WRONGPASS")
_NOT_PERMITTED_IN_SCRIPT = "ACL failure in script"


def error_of(reply: str) -> TributaryError:
    """The exception for the text of an error reply."""
    if reply.startswith(_NOT_PERMITTED) or _NOT_PERMITTED_IN_SCRIPT in reply:
        return not_permitted(reply)
    if _MOVED_IN_SCRIPT in reply:
        return unavailable(SLOT_MOVING)
    if reply.startswith(_UNAVAILABLE) or "loading the dataset" in reply.lower():
        return unavailable(reply)
    return TributaryError(f"Redis rejected the command: {reply}")


def unavailable(reason: object) -> Unavailable:
    """Redis cannot execute the command now."""
    return Unavailable(f"Redis is unavailable: {reason}")


def not_permitted(reason: object) -> NotPermitted:
    """The Redis user lacks a permission."""
    return NotPermitted(
        f"the Redis user lacks a permission: {reason}; grant it, `tributary doctor` prints the "
        "ACL rules of each role"
    )
