"""The same queries to Tributary and to Prometheus, which has the same readings."""
