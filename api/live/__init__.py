"""Live: what changes is pushed to whoever listens, as server-sent events on the event loop."""

from api.live.hub import Hub
from api.live.stream import Live

__all__ = ["Hub", "Live"]
