"""Forgetting devices: deletes what names them once all readers have passed their tombstones."""
