"""The aggregator: reads frames, and keeps current values and rolling averages up to date."""
