"""The api role: serves what the aggregators have stored, in O(1)."""
