"""Statistics of every minute, hour and day in a database: what the `jobs` role writes, `api` reads."""
