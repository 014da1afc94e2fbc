"""Containers without a container engine: the files are read, and run as plain processes."""
