"""The read API: devices, metrics and their statistics from the stored aggregates."""
