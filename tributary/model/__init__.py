"""Readings, frames, windows and aggregates. Pure: no socket, no clock, no Redis."""
