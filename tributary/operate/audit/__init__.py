"""Recomputes aggregates and history from the readings in the stream, and compares.

It is a second implementation of the definitions, in plain Python, and shares no arithmetic with
the fold. It only reads, and it may run at any time: what is read of a device is of one moment,
and readings that were applied by then are added before it is compared.
"""

from tributary.operate.audit.auditor import Auditor, Watch, history_of
from tributary.operate.audit.report import Difference, PartitionReport

__all__ = ["Auditor", "Difference", "PartitionReport", "Watch", "history_of"]
