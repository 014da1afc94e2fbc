"""The front doors: a package or module per protocol. `door.py` is the interface to implement."""

from ingest.doors import influx
from ingest.doors.chirpstack import ChirpStackDoor
from ingest.doors.door import Door
from ingest.doors.ecowitt import EcowittDoor
from ingest.doors.osmand import OsmAndDoor
from ingest.doors.owntracks import OwnTracksDoor
from ingest.doors.record import QueryStringDoor, RecordDoor
from ingest.doors.rooms import RoomsDoor
from ingest.doors.senml import SenmlDoor
from ingest.doors.sensor_community import SensorCommunityDoor
from ingest.doors.sensor_logger import SensorLoggerDoor
from ingest.doors.telegraf import TelegrafDoor
from ingest.doors.the_things_network import TheThingsNetworkDoor
from ingest.doors.thingsboard import ThingsBoardDoor
from ingest.doors.thingspeak import ThingSpeakDoor
from ingest.doors.torque import TorqueDoor
from ingest.doors.weather_underground import WeatherUndergroundDoor

DOORS: tuple[Door, ...] = (
    RecordDoor(),
    QueryStringDoor(),
    *influx.DOORS,
    SensorLoggerDoor(),
    RoomsDoor(),
    TelegrafDoor(),
    EcowittDoor(),
    WeatherUndergroundDoor(),
    ThingsBoardDoor(),
    TheThingsNetworkDoor(),
    ChirpStackDoor(),
    SensorCommunityDoor(),
    ThingSpeakDoor(),
    TorqueDoor(),
    OsmAndDoor(),
    OwnTracksDoor(),
    SenmlDoor(),
)
