"""Exports over HTTP: they are asked for here, and written by a job."""
