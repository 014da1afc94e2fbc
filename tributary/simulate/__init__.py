"""A fleet of cars that does not exist, sent to a server that does, and what must come of it.

fleet (pure: what the cars measure) → drive (sends it on time) → ledger (pure: what /collect
must say then) → check (asks it).
"""
