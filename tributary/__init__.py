"""What the roles of Tributary must agree on: readings, frames, keys, settings, the server."""

__version__ = "0.1.0"
