"""The chaos run: named faults under load, each judged by the ledger oracle; `scripts/chaos`."""
