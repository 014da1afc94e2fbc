"""An aggregator process that is killed by SIGKILL when it folds a certain value."""

from __future__ import annotations

import os
import signal

from aggregator import together
from aggregator.fold import Folded, fold
from aggregator.overflow import Horizon
from aggregator.role import ROLE
from tributary import settings
from tributary.model.aggregate import Layout, Records
from tributary.model.groups import Readings

DEADLY = 666.0


def _fold(
    layout: Layout,
    state: Records,
    rings: Records,
    readings: Readings,
    horizon: Horizon | None = None,
) -> Folded:
    if DEADLY in readings.values:
        os.kill(os.getpid(), signal.SIGKILL)
    return fold(layout, state, rings, readings, horizon)


if __name__ == "__main__":
    together.fold = _fold  # type: ignore[attr-defined]
    ROLE.run(settings.load())
