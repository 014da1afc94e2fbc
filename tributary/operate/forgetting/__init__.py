"""Forgetting devices: `requests` asks for it, `survey` counts what there is.

A request appends tombstones to the streams of the devices; the job `forget` (jobs/forget)
deletes what is left once every reader of the streams has passed them. Every function with a
client raises `Unavailable` while Redis is.
"""
