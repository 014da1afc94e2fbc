"""Fault injection under load, checked against a ledger of all requests; see `scripts/chaos`."""
