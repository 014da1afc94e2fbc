"""Exports: readings and statistics as files. See docs/export.md."""
