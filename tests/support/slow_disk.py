"""A slow disk: strace delays the fsyncs of a server."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Iterator

from support.processes import Process, Server


@contextlib.contextmanager
def slow_fsyncs(server: Server, *, delay_ms: int) -> Iterator[None]:
    """Delay every fdatasync and fsync of the server; it may be killed meanwhile."""
    inject = f"inject=fdatasync,fsync:delay_exit={delay_ms * 1000}"
    trace = ("-e", "trace=fdatasync,fsync", "-e", inject, "-e", "signal=none")
    tracer = Process(["strace", "-f", *trace, "-p", str(server.process.pid)])
    try:
        tracer.wait_for(re.compile("attached"), 10)
        yield
    finally:
        if tracer.popen.poll() is None:
            tracer.signal(signal.SIGINT)
        with contextlib.suppress(AssertionError):  # it may wait for a thread of a killed server
            tracer.end(3)
