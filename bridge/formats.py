"""Messages to readings, by the same rules as at `POST /record`.

JSON, Sensor Logger and OwnTracks are converted by their doors. Sources of the other formats:
docs/MQTT.md of Tasmota, components/mqtt.rst of ESPHome, and the guide of Zigbee2MQTT.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from bridge import mapping as mappings
from bridge import payload, topic
from bridge.mapping import Mapping, Mappings
from bridge.message import DoorRequest, Ignored, Message
from ingest.batch import Batch
from ingest.doors import numbers
from ingest.doors.door import Query
from ingest.doors.owntracks import OwnTracksDoor
from ingest.doors.record import RecordDoor
from ingest.doors.record import item as readings
from ingest.doors.sensor_logger import SensorLoggerDoor
from ingest.limits import Rules
from tributary.auth.guard import RequestHeaders
from tributary.errors import Refused
from tributary.model import units
from tributary.model.catalogue import Catalogue

_RECORD, _SENSOR_LOGGER, _OWNTRACKS = RecordDoor(), SensorLoggerDoor(), OwnTracksDoor()
_SWITCHES = {"on": 1.0, "off": 0.0, "true": 1.0, "false": 0.0, "open": 1.0, "closed": 0.0}
# States of a device or an entity that are not values.
_STATES = frozenset(("online", "offline", "unavailable", "unknown", "none", "null", "nan", ""))
# Tasmota: the member that names a unit → the beginnings of the names that it applies to.
_TASMOTA_UNITS = {
    "TempUnit": ("degC", ("Temperature", "DewPoint", "HeatIndex")),
    "PressureUnit": ("hPa", ("Pressure", "SeaPressure")),
    "SpeedUnit": ("km/h", ("Speed",)),
}


class Reader:
    """Converts messages; pure, except for bounded caches."""

    def __init__(
        self, rules: Rules, catalogue: Catalogue, given: Sequence[Mapping], timezone: str
    ) -> None:
        """`timezone`: IANA name of the zone of times without one; empty: not known."""
        self._rules = rules
        self._catalogue = catalogue
        self._mappings = Mappings(given)
        self._timezone = timezone
        self._formats: dict[str, Callable[[Mapping, list[str], Message], Batch]] = {
            "auto": self._auto,
            "json": self._json,
            "number": self._number,
            "tasmota": self._tasmota,
            "sensor-logger": self._sensor_logger,
            "owntracks": self._owntracks,
        }

    def read(self, message: Message) -> Batch:
        """The readings of a message.

        Raises:
            Ignored: it carries none by convention.
            Refused: it can never be stored.
        """
        mapping, levels = self._mappings.find(message.topic)
        if mapping.format == "ignore":
            raise Ignored("topic")
        if len(message.payload) > self._rules.body_max_bytes:
            raise Refused(
                f"the message has {len(message.payload)} bytes; send at most "
                f"{self._rules.body_max_bytes} (body_max_bytes)",
                status=413,
                code="body_too_large",
            )
        batch = self._formats[mapping.format](mapping, levels, message)
        if message.key is not None:
            batch.idempotency_key = message.key
        return batch

    def _auto(self, mapping: Mapping, levels: list[str], message: Message) -> Batch:
        text = message.payload.lstrip(payload.BLANK)
        if text[:1] not in (b"{", b"["):
            return self._number(mapping, levels, message)
        return self._json(mapping, levels, message)

    def _number(self, mapping: Mapping, levels: list[str], message: Message) -> Batch:
        """A bare number: by default on `<device>/<metric>`."""
        text = message.payload.decode("utf-8", "replace").strip()
        if text.casefold() in _STATES:
            raise Ignored("state")
        value = _SWITCHES.get(text.casefold())
        value = numbers.of(text) if value is None else value
        if value is None:
            raise payload.refused(
                f"the message {text!r:.60} is not a number; send one, or JSON, or ignore the topic "
                "in the mapping file",
                "not_a_number",
            )
        if len(levels) < 2 and (mapping.device is None or mapping.metric is None):
            raise payload.refused(
                f"the topic {message.topic!r:.80} names no device; publish to <device>/<metric>, "
                "or give a device and a metric in the mapping file",
                "unknown_topic",
            )
        device = topic.fill(mapping.device or "{1}", levels)
        if mapping.device is None:
            device = "/".join(levels[:-1])
        metric = numbers.metric_name(topic.fill(mapping.metric or f"{{{len(levels)}}}", levels))
        if mapping.unit is not None:
            value = self._converted(metric, value, mapping.unit)
        return self._reading(device, None, {metric: value}, message)

    def _json(self, mapping: Mapping, levels: list[str], message: Message) -> Batch:
        """JSON as at `/record`; without a device in it, the topic is the device."""
        given = payload.load(message.payload)
        if mapping.format == "auto" and isinstance(given, dict):
            if "deviceId" in given and isinstance(given.get("payload", given.get("sensors")), list):
                return self._sensor_logger(mapping, levels, message)
            if "_type" in given:
                return self._owntracks(mapping, levels, message)
        device = topic.fill(mapping.device or "{1-}", levels)
        if mapping.rename or mapping.units or mapping.time or mapping.id or mapping.timezone:
            return self._mapped(mapping, given, device, message)
        items = given if isinstance(given, list) else [given]
        if mapping.device is not None or not all(map(payload.names_device, items)):
            items = [
                each
                if mapping.device is None and payload.names_device(each)
                else payload.with_device(each, device)
                for each in items
            ]
            body = json.dumps(items if isinstance(given, list) else items[0]).encode()
        else:
            body = message.payload
        return _RECORD.parse(
            DoorRequest(body, RequestHeaders(), Query()), message.arrived_ms, self._rules
        )

    def _mapped(self, mapping: Mapping, given: Any, device: str, message: Message) -> Batch:
        """One JSON object, by the fields of a mapping."""
        if not isinstance(given, dict):
            raise payload.refused(
                f"a mapping with rename, units, time, id or timezone needs a JSON object, not "
                f"{type(given).__name__}; send one reading per message",
                "wrong_shape",
            )
        item = dict(given)
        key = (
            None
            if mapping.id is None
            else payload.id_key(item.pop(mapping.id, None), mapping.id, message)
        )
        if mapping.device is None and payload.names_device(item):
            device = readings.device(item, self._rules)
        at = mapping.time or readings.find(item, readings.TIME, "time")
        time = None if at is None else item.pop(at, None)
        item = readings.measured(item)
        if isinstance(time, str):
            time = self._with_zone(time, mapping)
        batch = self._reading(device, time, self._metrics(mapping, item), message)
        batch.idempotency_key = key
        return batch

    def _tasmota(self, mapping: Mapping, levels: list[str], message: Message) -> Batch:
        """`tele/<topic>/SENSOR`: nested objects by sensor, a local time without zone."""
        item = payload.load(message.payload)
        if not isinstance(item, dict):
            raise payload.refused("the message is not a JSON object; send one", "wrong_shape")
        item = dict(item)
        key = (
            None
            if mapping.id is None
            else payload.id_key(item.pop(mapping.id, None), mapping.id, message)
        )
        time, epoch = item.pop("Time", None), item.pop("Epoch", None)
        given = {name: item.pop(name, None) for name in _TASMOTA_UNITS}
        metrics = self._metrics(mapping, item)
        for name, (wanted, beginnings) in _TASMOTA_UNITS.items():
            unit = wanted if given[name] is None else units.parse(str(given[name]))
            slope = None if unit is None else units.conversion(unit, wanted)
            for metric, value in metrics.items():
                if metric.rpartition(".")[2].startswith(beginnings) and metric not in mapping.units:
                    if slope is None:
                        raise payload.refused(
                            f"{name} {given[name]!r:.20} is unknown", "unknown_unit"
                        )
                    metrics[metric] = slope.value(value)
        at = epoch if epoch is not None else time
        if isinstance(at, str):
            at = self._with_zone(at, mapping, or_arrival=True)
        device = topic.fill(mapping.device, levels) if mapping.device else _tasmota_device(levels)
        batch = self._reading(device, at, metrics, message)
        batch.idempotency_key = key
        return batch

    def _sensor_logger(self, _mapping: Mapping, _levels: list[str], message: Message) -> Batch:
        request = DoorRequest(message.payload, RequestHeaders(), Query())
        return _SENSOR_LOGGER.parse(request, message.arrived_ms, self._rules)

    def _owntracks(self, _mapping: Mapping, levels: list[str], message: Message) -> Batch:
        """A location on `owntracks/<user>/<device>`; other types carry no reading."""
        query = Query(u=levels[-2], d=levels[-1]) if len(levels) > 1 else Query()
        request = DoorRequest(message.payload, RequestHeaders(), query)
        batch = _OWNTRACKS.parse(request, message.arrived_ms, self._rules)
        if not batch.blocks:
            raise Ignored("type")
        return batch

    def _metrics(self, mapping: Mapping, item: dict[str, Any]) -> dict[str, float]:
        """The numbers of an object, flattened, renamed and in the units of the catalogue."""
        metrics: dict[str, float] = {}
        for given, value in numbers.flatten(item).metrics.items():
            name = mapping.rename.get(given, given)
            if name in metrics:
                raise payload.refused(
                    f"two members become the metric {name!r:.80}", "ambiguous_field"
                )
            unit = mapping.units.get(name)
            metrics[numbers.metric_name(name)] = (
                value if unit is None else self._converted(name, value, unit)
            )
        return metrics

    def _converted(self, metric: str, value: float, unit: str) -> float:
        """A value in the unit of the catalogue; as it is if the catalogue lacks the metric."""
        wanted = self._catalogue[metric].unit
        if wanted is None:
            return value
        found = units.conversion(unit, wanted)
        if found is None:
            raise payload.refused(
                f"{unit} cannot be converted to {wanted}, of {metric}", "unknown_unit"
            )
        return found.value(value)

    def _with_zone(
        self, text: str, mapping: Mapping, *, or_arrival: bool = False
    ) -> str | int | None:
        """A time with the zone of the mapping, if it has none itself.

        In the hour that occurs twice when summer time ends, it is the first of the two.
        `or_arrival`: without a known zone, the time of arrival (None).
        """
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return text  # the rules of /record have the error
        if moment.tzinfo is not None:
            return text
        name = mapping.timezone or self._timezone
        if not name:
            return None if or_arrival else text
        rules = mappings.zone(name)
        assert rules is not None, "checked at start"
        return moment.replace(tzinfo=rules).astimezone(UTC).isoformat()

    def _reading(
        self, device: str, time: Any, metrics: dict[str, float], message: Message
    ) -> Batch:
        block = numbers.reading(device, time, metrics, message.arrived_ms, self._rules)
        return self._rules.collect([(0, block)], is_batch=False)


def _tasmota_device(levels: list[str]) -> str:
    """The topic of the device, whatever the order of its FullTopic."""
    return "/".join(level for level in levels[:-1] if level != "tele") or levels[0]
