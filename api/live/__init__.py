"""Live updates: changes are pushed to listeners as server-sent events, on the event loop."""

from api.live.asgi import Live
from api.live.hub import Hub

__all__ = ["Hub", "Live"]
