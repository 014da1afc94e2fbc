"""Compare the results of each expression with those of Prometheus, and print the differences."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from support.processes import HOSTS, Server
from support.prometheus import Prometheus
from support.webs import Web

from promql import fleet
from promql.expressions import EXPRESSIONS
from promql.generator import expression
from tributary.model.clock import utc_ms
from tributary.settings import Settings


def main() -> int:
    """One line per expression; returns 1 if any differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--random", type=int, default=0, help="further expressions")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    source = random.Random(given.seed)
    added = [expression(source, source.randint(1, 4)) for _ in range(given.random)]
    now_ms = utc_ms()
    readings = fleet.rows(now_ms)
    with tempfile.TemporaryDirectory(prefix="tributary-promql-") as folder:
        server, other = Server(Path(folder) / "redis"), Prometheus(Path(folder), readings)
        data_dir = str(Path(folder) / "history")
        web = Web(Settings(redis_url=server.url, data_dir=data_dir, public_hosts=HOSTS))
        try:
            fleet.record(web, server.client, readings)
            found = [fleet.compare(web, other, each, now_ms) for each in (*EXPRESSIONS, *added)]
        finally:
            web.close()
            other.close()
            server.close()
    for each in [each for each in found if each.reason or not added]:
        print(f"{each.points:6} points  {each.relative:8.1e}  {each.expression}  {each.reason}")
    different = sum(bool(each.reason) for each in found)
    points = sum(each.points for each in found)
    print(f"{len(found)} expressions, {points} points, {different} expressions differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
