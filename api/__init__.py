"""The read side: what the aggregators keep ready, answered in O(1)."""
