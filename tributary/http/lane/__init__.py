"""The lane: hot routes served on the event loop, all others by uvicorn and Flask.

Flask serves the hot routes as well: the lane calls the same pure functions with less overhead.
"""
