"""A peer, not part of Tributary: a Redis connection per request and a list of the last ten values.

It has the same two routes, but concurrent requests are not atomic.
"""

from __future__ import annotations

import json
import os

import redis
from flask import Flask, Response, jsonify, request

_VALUES_MAX = 10

app = Flask(__name__)


def _connect() -> redis.Redis:
    return redis.Redis(port=int(os.environ["REDIS_PORT"]))


@app.post("/record")
def record() -> Response:
    """Push each value to the front of its list, and trim the list."""
    reading = request.get_json(force=True)
    device = reading.pop("device", "default")
    client = _connect()
    for metric, value in reading.items():
        client.lpush(f"{device}:{metric}", json.dumps(value))
        client.ltrim(f"{device}:{metric}", 0, _VALUES_MAX - 1)
    client.close()
    return jsonify(success=True)


@app.get("/collect")
def collect() -> Response:
    """Average the list."""
    client = _connect()
    key = f"{request.args.get('device', 'default')}:engine_temperature"
    values = [float(value) for value in client.lrange(key, 0, -1)]
    client.close()
    average = sum(values) / len(values) if values else None
    return jsonify(current=values[0] if values else None, average=average)
