"""Asks for jobs of a ledger, for exports, and for devices to be forgotten, until they are accepted."""

from __future__ import annotations

import contextlib
import itertools
import json
import secrets
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, NamedTuple

from support.ledger import METRIC
from support.processes import exchange

from tributary.errors import TributaryError
from tributary.operate import job_queue
from tributary.operate.forgetting import requests
from tributary.settings import Settings
from tributary.store import redis_client

_PAUSE_S, _AGAIN_S = 0.03, 0.05
_NOTES_PER_EXPORT = 40
_NOTES_PER_FORGET = 25
_READINGS = 3  # of a device that is forgotten


class AskedExport(NamedTuple):
    """An export that was accepted."""

    id: str
    readings: int  # acknowledged before, of devices that are not forgotten


class Asker(threading.Thread):
    """Asks for each until it is accepted, as a client would."""

    def __init__(
        self, settings: Settings, ingest: str, api: str, acknowledged: Callable[[], int]
    ) -> None:
        super().__init__(daemon=True)
        self._settings, self._ingest, self._api = settings, ingest, api
        self._acknowledged = acknowledged
        self.last_refusal = ""
        self.notes: list[int] = []
        self.exports: list[AskedExport] = []
        self.forgotten: list[str] = []
        self.refused = 0  # attempts that were not accepted, although no limit was reached
        self.finishing = threading.Event()

    def run(self) -> None:
        """Ask until `finishing` is set."""
        for number in itertools.count(1):
            if self.finishing.wait(_PAUSE_S):
                return
            self._until_accepted(self._note, number)
            self.notes.append(number)
            if number % _NOTES_PER_EXPORT == 0:
                readings = self._acknowledged()
                if id_ := self._until_accepted(self._export):
                    self.exports.append(AskedExport(id_, readings))
            if number % _NOTES_PER_FORGET == 0:
                device = f"gone-{number}"
                self._until_accepted(self._record, device)
                self._until_accepted(self._forget, device)
                self.forgotten.append(device)

    def _until_accepted(self, ask: Callable[..., Any], *arguments: Any) -> Any:
        while True:
            try:
                return ask(*arguments)
            except job_queue.QueueFull:  # the limit of jobs that wait, which restarts may reach
                self.finishing.wait(_AGAIN_S)
                continue
            except (TributaryError, OSError, HTTPException) as error:
                self.last_refusal = f"{ask.__name__}: {error}"
            self.refused += 1
            self.finishing.wait(_AGAIN_S)

    def _note(self, number: int) -> None:
        job_queue.enqueue(self._settings, "note", number, id=f"note-{number}")

    def _export(self) -> str:
        """The id; none if it is refused because a limit of those that wait is reached."""
        body = {"devices": "car-*", "metrics": METRIC}
        reply = exchange(self._api, "POST", "/api/v1/exports", body)
        if reply.status == HTTPStatus.TOO_MANY_REQUESTS or b'"queue_full"' in reply.content:
            return ""
        if reply.status != HTTPStatus.ACCEPTED:
            raise OSError(f"{reply.status} {reply.content!r}")
        return str(reply.json["id"])

    def _record(self, device: str) -> None:
        body = [{"device": device, "gone": value} for value in range(_READINGS)]
        key = secrets.token_hex(16)
        reply = exchange(
            self._ingest, "POST", "/record", json.dumps(body).encode(), Idempotency_Key=key
        )
        if reply.status != HTTPStatus.OK:
            raise OSError(f"{reply.status} {reply.content!r}")

    def _forget(self, device: str) -> None:
        with contextlib.closing(redis_client.connect(self._settings)) as client:
            requests.ask(client, self._settings, [device])
