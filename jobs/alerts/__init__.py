"""Delivery of alerts: reads the transitions that commits have logged, and sends them."""
