"""All that knows Redis: keys, scripts, connections, and what its replies mean."""
