"""Measurements that anyone can run: `scripts/bench NAME`; each prints what it measured and where."""
