from __future__ import annotations

import os

# Storms repeat kills and faults for minutes: `scripts/chaos --check` runs these.
STORMS = [
    "test_bridge_kills.py",
    "test_failovers.py",
    "test_faults.py",
    "test_forget_kills.py",
    "test_history_kills.py",
    "test_kills.py",
    "test_spool_storm.py",
    "test_tree.py",
]
collect_ignore = [] if "CHAOS_CHECK" in os.environ else STORMS
