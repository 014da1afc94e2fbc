"""The worker that reads frames and keeps current values and rolling averages up to date."""
