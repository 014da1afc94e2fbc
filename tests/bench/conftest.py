from __future__ import annotations

import os

# Benchmarks take minutes: `scripts/bench --check` runs these, the suite only the unit tests.
collect_ignore_glob = [] if "BENCH_CHECK" in os.environ else ["test_bench_*.py", "test_fold_*.py"]
