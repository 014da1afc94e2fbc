"""The fast lane: the hot routes answered on the event loop, everything else by uvicorn and Flask.

Flask is complete without it; the lane calls the same pure functions and only saves the way.
"""
