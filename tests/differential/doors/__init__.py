"""Generators of requests to the doors other than `/record`: a module each.

A generator calls `framed` of the client's `Generator` with method, target, header fields and body.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from differential.doors import fields, influx, json_bodies
from differential.wire import Request

if TYPE_CHECKING:
    from differential.generator import Generator

# Names of doors, each with its generator.
DOORS: dict[str, Callable[[Generator], Request]] = {
    "sensor-logger": json_bodies.door(
        [b"/sensor_data", b"/sensor_data?token=x", b"/sensor_data/x", b"/sensor_data/%20"],
        json_bodies.sensor_logger,
    ),
    "rooms": json_bodies.door(
        [
            b"/api/v1/buildings/b/rooms/r/temperatures",
            b"/api/v1/buildings/b/rooms/r/temperatures?token=x",
            b"/api/v1/buildings/b%20b/rooms/r/temperatures",
            b"/api/v1/buildings/b/rooms/r/temperatures/average",
        ],
        json_bodies.room,
    ),
    "influx_v1": influx.write(b"/write"),
    "influx_v2": influx.write(b"/api/v2/write"),
    "influx_v3": influx.write(b"/api/v3/write_lp"),
    "influx_ping": influx.ping,
    "influx_query": influx.query,
    "telegraf": json_bodies.door(
        [b"/record/telegraf", b"/record/telegraf?on_error=skip", b"/record/telegraf?on_error=x"],
        json_bodies.telegraf,
    ),
    "ecowitt": fields.door(
        [b"POST", b"POST", b"GET"],
        [b"/record/ecowitt", b"/data/report/", b"/data/report"],
        "PASSKEY",
        fields.STATION,
    ),
    "weather-underground": fields.door(
        [b"GET"], [b"/weatherstation/updateweatherstation.php"], "ID", fields.STATION
    ),
}
