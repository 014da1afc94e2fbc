"""Access to Redis: keys, scripts, connections, topology, and its error replies."""
