"""The wheel and the source distribution: what is in them, and that they work when installed."""
