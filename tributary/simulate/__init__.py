"""A simulated fleet of cars that records to a real server, and a check of the results.

fleet (pure: what the cars measure) → drive (sends it on time) → ledger (pure: what /collect
must return) → check (compares).
"""
