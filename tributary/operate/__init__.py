"""What operators and monitors look at: status, metrics, findings, dead entries."""
