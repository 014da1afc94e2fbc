"""Generators of requests to the doors other than `/record`: a module each.

A generator calls `framed` of the client's `Generator` with method, target, header fields and body.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from differential.doors import fields, influx, json_bodies, query_string
from differential.wire import Request

if TYPE_CHECKING:
    from differential.generator import Generator

# Names of doors, each with its generator.
DOORS: dict[str, Callable[[Generator], Request]] = {
    "record_by_get": query_string.request,
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
    "thingsboard": json_bodies.door(
        [
            b"/api/v1/x/telemetry",
            b"/api/v1/x/telemetry?device=car-1",
            b"/record/thingsboard",
            b"/record/thingsboard?device=car-1",
            b"/record/thingsboard?token=x",
            b"/record/thingsboard?device=a%20b",
        ],
        json_bodies.thingsboard,
    ),
    "ttn": json_bodies.door([b"/record/ttn", b"/record/ttn?token=x"], json_bodies.ttn),
    "chirpstack": json_bodies.door(
        [
            b"/record/chirpstack?event=up",
            b"/record/chirpstack?event=up",
            b"/record/chirpstack?event=join",
            b"/record/chirpstack?token=x&event=up",
            b"/record/chirpstack?device=device_name&event=up",
            b"/record/chirpstack?device=x&event=up",
            b"/record/chirpstack",
        ],
        json_bodies.chirpstack,
    ),
    "sensor-community": json_bodies.door(
        [b"/record/sensor-community", b"/record/sensor-community?token=x"],
        json_bodies.sensor_community,
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
    "thingspeak": fields.door(
        [b"GET", b"POST"], [b"/update", b"/update/"], "device", fields.THINGSPEAK
    ),
    "torque": fields.door([b"GET"], [b"/record/torque"], "id", fields.TORQUE),
    "osmand": fields.door([b"GET", b"POST"], [b"/record/osmand"], "id", fields.OSMAND),
    "owntracks": json_bodies.door(
        [b"/record/owntracks", b"/record/owntracks?u=a&d=b", b"/record/owntracks?token=x"],
        json_bodies.owntracks,
    ),
    "senml": json_bodies.door([b"/record/senml", b"/record/senml?token=x"], json_bodies.senml),
}
