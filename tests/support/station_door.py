"""A second front door, different from `/record` in everything a door decides.

    POST /stations/{key}/{station}     7;temperature=21.5;humidity=40
    GET  /stations/{key}/{station}?temperature=21.5

The token is in the path, the first field of a body is the number of the message, good values are
stored even if others are not numbers, and responses are plain text.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from ingest import app, recorder
from ingest.batch import Batch
from ingest.doors.door import Door, Mount, Request
from ingest.doors.record import item as readings
from ingest.limits import Rules
from support.pipeline import environ
from support.processes import ROOT, Process
from support.webs import Web
from tributary import log
from tributary.auth import tokens
from tributary.errors import Refused
from tributary.http.flask_app import HttpError
from tributary.http.response import Response
from tributary.process import http_server
from tributary.process.role import HttpRole
from tributary.process.server_socket import listen
from tributary.settings import Settings, load

PLAIN = "text/plain"


class StationDoor(Door):
    name = "stations"
    mounts = (
        Mount("/stations/{key}/{station}"),
        Mount("/stations/{key}/{station}", ("GET",), r"[a-z]+=[0-9.]+"),
    )

    def secret(self, request: Request) -> str:
        if request.query["key"] == "-":
            raise tokens.unauthorized("missing token")
        return request.query["key"]

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        message, *fields = request.body.decode().split(";")
        given = [field.partition("=")[::2] for field in fields]
        given += [pair for pair in request.query.items() if pair[0] not in ("key", "station")]
        item: dict[str, Any] = {"device": request.query["station"]}
        rejected = []
        for index, (name, text) in enumerate(given):
            try:
                item[name] = float(text)
            except ValueError:
                rejected.append(
                    Refused(
                        f"{text} is not a number", status=400, code="bad", field=name, index=index
                    )
                )
        if len(item) == 1:
            return Batch({}, 0, is_batch=True, rejected=rejected)
        batch = rules.collect([(0, readings.block(item, arrived_ms, rules))], is_batch=False)
        batch.rejected = rejected
        batch.idempotency_key = f"{request.query['station']}/{message}" if message else None
        return batch

    def ok(self, batch: Batch) -> Response:
        if batch.rejected:
            names = ",".join(str(each.field) for each in batch.rejected)
            return Response(f"stored {batch.readings}, not {names}".encode(), 400, PLAIN)
        if not batch.readings:
            return Response(b"", 204)
        return Response(f"stored {batch.readings}".encode(), 201, PLAIN, (("X-Stored", "yes"),))

    def duplicate(self, body: bytes) -> Response:
        return Response(b"again: " + body, 208, PLAIN)

    def error(self, error: HttpError) -> Response:
        status = 499 if error.status == 401 else error.status
        return Response(f"sorry: {error.code}".encode(), status, PLAIN, (*error.headers.items(),))


DOORS = (StationDoor(),)


def start(settings: Settings) -> Web:
    """Serve the stations, and nothing else, in a process of their own."""
    listener = listen(settings.host, 0)
    command = [sys.executable, "-m", "support.station_door", str(listener.fileno())]
    variables = {**environ(settings), "PYTHONPATH": str(ROOT / "tests")}
    process = Process(command, variables, cwd=ROOT, pass_fds=(listener.fileno(),))
    web = Web(settings, process, int(listener.getsockname()[1]))
    listener.close()
    process.wait_for(web.SERVING)
    return web


ROLE = HttpRole(
    "stations",
    description="",
    example="",
    writes=True,
    blueprint=partial(app.blueprint, doors=DOORS),
    attach=partial(recorder.attach, doors=DOORS),
)

if __name__ == "__main__":
    settings = load()
    log.configure(settings, "stations")
    http_server.serve(settings, (ROLE,), int(sys.argv[1]))
