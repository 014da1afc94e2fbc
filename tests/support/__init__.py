"""What tests share: waiting, servers, processes, the ledger."""
