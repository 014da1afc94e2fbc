"""The supervisor stops its children whenever a signal arrives."""

from __future__ import annotations

import sys

import pytest
from support.processes import ROOT, Process

# Python handles a signal between any two instructions. Here it arrives after a wait has taken
# the lock of a child, and before the lock would be released.
_PROGRAM = """
import os, signal, subprocess, sys
from tributary.cli import interrupts
from tributary.standalone.supervisor import Spec, Supervisor

interrupts.catch()
supervisor = Supervisor()
supervisor.start(Spec("sleeper", ["sleep", "60"], 0))
polls = 0

def interrupt(frame, event, function):
    global polls
    if event == "c_return" and function.__name__ == "acquire":
        if frame.f_code is subprocess.Popen._internal_poll.__code__:
            polls += 1
            if polls == int(sys.argv[1]):
                sys.setprofile(None)
                os.kill(os.getpid(), signal.SIGTERM)

try:
    sys.setprofile(interrupt)
    while True:
        supervisor.watch()
except KeyboardInterrupt:
    interrupts.restore()
    supervisor.stop()
print("stopped")
"""


@pytest.mark.parametrize("poll", [1, 2, 3, 4], ids=["guard", "child", "guard-2", "child-2"])
def test_a_signal_while_children_are_polled_does_not_prevent_stopping(poll: int):
    process = Process([sys.executable, "-c", _PROGRAM, str(poll)], cwd=ROOT)
    assert process.end(10) == 0
    assert process.text.endswith("stopped\n")
