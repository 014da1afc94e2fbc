"""For operators and monitoring: status, metrics, readiness, diagnostics, dead entries."""
