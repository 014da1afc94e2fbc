"""Shared by tests: waiting, servers, processes, the ledger."""
