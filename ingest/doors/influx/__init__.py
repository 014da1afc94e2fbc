"""The HTTP API of InfluxDB, for clients that write line protocol."""

from ingest.doors.influx.service import PingDoor, QueryDoor
from ingest.doors.influx.write import V1Door, V2Door, V3Door

DOORS = (V1Door(), V2Door(), V3Door(), PingDoor(), QueryDoor())
