"""Benchmarks: `scripts/bench NAME`; each prints its results and the machine."""
