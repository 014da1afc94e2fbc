"""One file per revision; see docs/history.md."""
