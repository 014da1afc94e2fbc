"""The record of the MQTT bridge."""

from __future__ import annotations

import asyncio
import signal

from tributary.process.role import WorkerRole
from tributary.settings import Settings


def _run(settings: Settings) -> None:
    import uvloop

    from bridge.worker import Plan, Worker

    plan = Plan(settings)

    async def work() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await Worker(settings, plan).run(stop)

    uvloop.run(work())


ROLE = WorkerRole(
    "mqtt",
    description=(
        "Bridge an MQTT broker until SIGTERM: messages become readings, and are acknowledged once "
        "Redis has them. Several bridges divide the messages with --share."
    ),
    example="tributary mqtt --broker mqtt://user:password@broker:1883 --topic 'tele/+/SENSOR'",
    run=_run,
    processes=lambda _: 0,  # `up` starts none
    options=(
        "mqtt_broker", "mqtt_topic", "mqtt_mapping", "mqtt_share", "mqtt_client_id",
        "mqtt_timezone", "mqtt_in_flight_max", "mqtt_session_expiry_s", "durability", "wait_replicas",
    ),
)  # fmt: skip
