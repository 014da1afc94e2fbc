"""The front doors: a package or module per protocol. `door.py` is the interface to implement."""

from ingest.doors.door import Door
from ingest.doors.record import RecordDoor

DOORS: tuple[Door, ...] = (RecordDoor(),)
