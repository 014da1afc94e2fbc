"""What a rolling restart has beside HTTP: a broker, publishers and bridges, and jobs with a ledger."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from pathlib import Path

from support.ledger import stored_metrics
from support.mosquitto import Mosquitto
from support.publisher import MessageOf, Publisher
from support.waiting import wait_until

from faults.job_asker import Asker
from faults.job_ledger import JobLedger, Kind
from tributary.settings import PREFIX, Settings
from tributary.store import redis_client

_METRIC = "published"
_PAUSE_S = 0.05
_TIMEOUT_S = 120.0
_MAPPING = """
[[topic]]
filter = "storm/+/+"
format = "json"
id = "id"
"""


class Beside:
    """One publisher for each bridge, and an asker."""

    def __init__(self, folder: Path, settings: Settings, count: int) -> None:
        """Start the broker; `count`: of bridges."""
        self._settings, self._count = settings, count
        self._stack = contextlib.ExitStack()
        self._broker = Mosquitto(folder / "broker")
        self._stack.callback(self._broker.kill)
        self._mapping = folder / "mapping.toml"
        self._mapping.write_text(_MAPPING)
        self.jobs = JobLedger(folder / "jobs", settings)
        self._publishers: list[Publisher] = []
        self._asker: Asker

    def environ(self, role: str, number: int) -> dict[str, str]:
        """What a process of this role needs besides the settings that all share."""
        if role == "jobs":
            return self.jobs.environ
        own = {
            "MQTT_BROKER": self._broker.url, "MQTT_TOPIC": f"storm/bus-{number}/+",
            "MQTT_CLIENT_ID": f"bridge-{number}", "MQTT_MAPPING": str(self._mapping),
        }  # fmt: skip
        return {f"{PREFIX}{name}": value for name, value in own.items()} if role == "mqtt" else {}

    def start(self, asker: Asker) -> None:
        """Start the load."""
        self._asker = asker
        self._stack.callback(asker.finishing.set)
        asker.start()
        for number in range(self._count):
            publisher = Publisher(
                self._broker.port, f"publisher-{number}", _message_of(number), _PAUSE_S
            )
            self._publishers.append(publisher)
            self._stack.callback(publisher.finish, 0)
            publisher.start()

    def finish(self) -> None:
        """End the load."""
        self._asker.finishing.set()
        self._asker.join(_TIMEOUT_S)
        assert not self._asker.is_alive(), f"never accepted: {self._asker.last_refusal}"
        for publisher in self._publishers:
            assert publisher.finish(_TIMEOUT_S), "the broker did not acknowledge everything"
        wait_until(lambda: not self._missing(), "every message", _TIMEOUT_S)

    def outcome(self) -> tuple[str, list[str]]:
        """What became of messages and jobs, and what of it should not have happened."""
        problems = [f"job {job}" for job in self.jobs.failed()]
        asker, texts = self._asker, []
        if asker.refused:
            problems.append(f"{asker.refused} were refused: {asker.last_refusal}")
        kinds = {
            "messages": self._messages(),
            "jobs": self.jobs.notes(asker),
            "exports": self.jobs.export_files(asker),
            "devices forgotten": self.jobs.forgets(asker),
        }
        for name, kind in kinds.items():
            texts.append(
                f"{kind.accepted} {name}, {kind.lost} lost, {kind.wrong} wrong, "
                f"{kind.repeated} repeated"
            )
            if kind.lost or kind.wrong:
                problems.append(texts[-1])
        return "; ".join(texts), problems

    def _messages(self) -> Kind:
        """The messages, by what the streams have of them."""
        held = self._held()
        twice = sum(count - 1 for values in held.values() for count in values.values())
        return Kind(sum(p.sent for p in self._publishers), self._missing(), twice)

    def close(self) -> None:
        """Stop everything."""
        self._stack.close()

    def _missing(self) -> int:
        held = self._held()
        return sum(
            len(set(map(float, range(publisher.sent))) - held.get(f"storm/bus-{number}", {}).keys())
            for number, publisher in enumerate(self._publishers)
        )

    def _held(self) -> dict[str, Counter[float]]:
        client = redis_client.connect(self._settings, socket_timeout=60)
        with contextlib.closing(client):
            found = stored_metrics(client, self._settings, every=True)
        return {
            device: Counter(values[_METRIC])
            for device, values in found.items()
            if _METRIC in values
        }


def _message_of(number: int) -> MessageOf:
    device = f"storm/bus-{number}"

    def message(value: int) -> tuple[str, str]:
        return f"{device}/json", json.dumps({"device": device, "id": value, _METRIC: value})

    return message
