"""Compares the responses of the lane with those of Flask alone."""
