"""HTTP for ingest and api: the Flask app with errors and checks, and the lane in front of it."""
