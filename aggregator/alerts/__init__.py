"""Alerts: the rules of the catalogue, evaluated where values change."""
