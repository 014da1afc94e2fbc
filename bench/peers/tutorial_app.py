"""A peer, not a part of Tributary: a connection per request and a list of the last ten.

It takes the same body and answers the same questions; two requests at once may disagree.
"""

from __future__ import annotations

import json
import os

import redis
from flask import Flask, Response, jsonify, request

_KEPT = 10

app = Flask(__name__)


def _connect() -> redis.Redis:
    return redis.Redis(port=int(os.environ["REDIS_PORT"]))


@app.post("/record")
def record() -> Response:
    """Push each value to the front of its list, and cut the list."""
    reading = request.get_json(force=True)
    device = reading.pop("device", "default")
    client = _connect()
    for metric, value in reading.items():
        client.lpush(f"{device}:{metric}", json.dumps(value))
        client.ltrim(f"{device}:{metric}", 0, _KEPT - 1)
    client.close()
    return jsonify(success=True)


@app.get("/collect")
def collect() -> Response:
    """Read the list, and add it up."""
    client = _connect()
    key = f"{request.args.get('device', 'default')}:engine_temperature"
    kept = [float(value) for value in client.lrange(key, 0, -1)]
    client.close()
    average = sum(kept) / len(kept) if kept else None
    return jsonify(current=kept[0] if kept else None, average=average)
