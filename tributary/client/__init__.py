"""HTTP client for Python: record and collect, with every reading counted once.

from tributary.client import Tributary

with Tributary("http://127.0.0.1:8000") as tributary:
    tributary.record(device="car-7", engine_temperature=92.3)
    tributary.collect("car-7")
"""

from tributary.client.batch_sender import Batch, Limits, OnReceipt, Reading, Undelivered
from tributary.client.endpoint import ServerError
from tributary.client.http_client import Tributary
from tributary.client.receipt import Receipt, Refusal
from tributary.client.spool import Spool, Spooled
from tributary.client.spool_database import SpoolError

__all__ = [
    "Batch",
    "Limits",
    "OnReceipt",
    "Reading",
    "Receipt",
    "Refusal",
    "ServerError",
    "Spool",
    "SpoolError",
    "Spooled",
    "Tributary",
    "Undelivered",
]
