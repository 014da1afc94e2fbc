"""The lane and plain Flask, asked the same things: their answers must be the same."""
