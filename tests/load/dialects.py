"""Tables of readings in random dialects, with the readings that they mean."""

from __future__ import annotations

import gzip
import io
import json
import random
import zipfile
from typing import Any, NamedTuple

from load import clocks
from load.clocks import Clock
from support.datasets import CATALOGUE

from tributary.model.reading import is_metric

DEVICE_COLUMNS = (
    "device", "Device Name", "sensor_id", "nodeId", "MAC", "Gerät", "Messstelle", "station",
    "Vehicle ID", "entity_id", "Raum", "Zählernummer", "logger", "appareil",
)  # fmt: skip
UNKNOWN_COLUMNS = ("where", "Abschnitt", "lieu", "group_x", "Kuerzel")
DEVICES = ("car-7", "Living Room", "Küche", "esp32_01", "AA:BB:CC:01", "cellar", "Nord-Süd", "17")
# What headers may call a metric, its metric, and units with their conversion from the stored one.
METRICS: tuple[tuple[tuple[str, ...], str, dict[str, Any]], ...] = (
    (("Engine Coolant Temperature", "coolant_temp", "engine_temperature"), "engine_temperature",
     {"°C": lambda v: v, "°F": lambda v: v * 9 / 5 + 32, "": lambda v: v}),
    (("Vehicle Speed", "speed", "Speed (OBD)"), "speed",
     {"km/h": lambda v: v, "mph": lambda v: v / 1.609344, "m/s": lambda v: v / 3.6}),
    (("Engine RPM", "rpm"), "engine_rpm", {"rpm": lambda v: v, "": lambda v: v}),
    (("temperature", "Temperature"), "temperature",
     {"°C": lambda v: v, "°F": lambda v: v * 9 / 5 + 32, "K": lambda v: v + 273.15}),
    (("G(x)",), "g_x", {"": lambda v: v}),
    (("Durchfluss",), "durchfluss", {"": lambda v: v, "L/min": lambda v: v}),
    (("field1", "Kanal-A"), "", {"": lambda v: v}),
    (("motion", "Tür"), "", {"": lambda v: float(v > 50)}),
    (("humidity",), "humidity", {"%": lambda v: v, "": lambda v: v}),
)  # fmt: skip


class Case(NamedTuple):
    """A file, the options that it needs, and (device, ms, metric) → value."""

    name: str
    data: bytes
    options: dict[str, Any]
    truth: dict[tuple[str, int, str], float]
    dialect: str


def generate(seed: int) -> Case:
    """A random file with known readings."""
    chance = random.Random(seed)
    count = chance.choice((2, 5, 30, 120, 1500))
    clock = clocks.clock(chance, count)
    delimiter = chance.choice((",", ";", "\t", "|"))
    mark = "," if delimiter != "," and chance.random() < 0.4 else "."
    digits = chance.choice((0, 1, 2, 3))
    options = dict(clock.options)
    device_columns, devices, names = _devices(chance, count, options)
    truth: dict[tuple[str, int, str], float] = {}
    columns, cells, units = _values(chance, clock.times_ms, names, digits, mark, truth, options)
    layout = chance.choice(("wide", "wide", "long", "ndjson"))
    if layout == "long":
        columns, cells, clock, devices = _long(chance, columns, cells, units, clock, devices)
    elif layout == "wide" and any(units) and chance.random() < 0.25:
        layout = "units"
    elif layout == "wide":
        columns = [_with_unit(chance, c, u) for c, u in zip(columns, units, strict=True)]
    else:
        columns = [
            _with_unit(chance, c, u) if u else c for c, u in zip(columns, units, strict=True)
        ]
    extra_columns, extra = _extras(chance, len(clock.cells))
    head = [*clock.columns, *device_columns, *columns, *extra_columns]
    body = [[*a, *b, *c, *d] for a, b, c, d in zip(clock.cells, devices, cells, extra, strict=True)]
    below = [""] * len([*clock.columns, *device_columns]) + units
    below += [""] * (len(head) - len(below))
    order = list(range(len(head)))
    chance.shuffle(order)
    head = [head[n] for n in order]
    body = [[row[n] for n in order] for row in body]
    dialect = f"{clock.dialect} {layout} {delimiter!r} {mark} {sorted(options)}"
    if layout == "ndjson":
        lines = [
            json.dumps({k: _json(v, mark) for k, v in zip(head, row, strict=True)}) for row in body
        ]
        renamed = {names: header for header, names in _kept(head)}
        truth = {(d, t, renamed.get(m, m)): value for (d, t, m), value in truth.items()}
        return Case("data.ndjson", "\n".join(lines).encode(), options, truth, dialect)
    if layout == "units":
        body = [[below[n] for n in order], *body]
    text = _text(chance, head, body, delimiter, options)
    return _packed(chance, text, options, truth, dialect)


def _kept(head: list[str]) -> list[tuple[str, str]]:
    """Headers of NDJSON that are valid metrics, which are kept, and their names in CSV."""
    by_header = {h: metric for headers, metric, _ in METRICS for h in headers if metric}
    return [(h, by_header[h]) for h in head if h in by_header and is_metric(h)]


def _devices(
    chance: random.Random, count: int, options: dict[str, Any]
) -> tuple[list[str], list[list[str]], list[str]]:
    """Columns, cells, and the device of each row; perhaps an option."""
    kind = chance.choice(("known", "known", "none", "option", "unknown", "chosen"))
    if kind in ("none", "option"):
        if kind == "option":
            options["device"] = "given-1"
        return (
            [],
            [[] for _ in range(count)],
            ["given-1" if kind == "option" else "default"] * count,
        )
    pool = DEVICES if kind != "unknown" else DEVICES[:-1]  # a number would be a measurement
    written = chance.sample(pool, chance.choice((1, 2, 3)))
    rows_of = [written[n % len(written)] for n in range(count)]
    column = chance.choice(DEVICE_COLUMNS if kind == "known" else UNKNOWN_COLUMNS)
    if kind == "chosen":
        options["device_column"] = column
    clean = {"Living Room": "Living-Room", "Küche": "Kuche", "Nord-Süd": "Nord-Sud"}
    is_silent = kind == "unknown" and len(set(rows_of)) == 1
    names = ["default" if is_silent else clean.get(name, name) for name in rows_of]
    return [column], [[name] for name in rows_of], names


def _values(  # noqa: PLR0913
    chance: random.Random,
    times_ms: list[int],
    devices: list[str],
    digits: int,
    mark: str,
    truth: dict[tuple[str, int, str], float],
    options: dict[str, Any],
) -> tuple[list[str], list[list[str]], list[str]]:
    chosen = chance.sample(METRICS, chance.choice((1, 2, 4)))
    columns, units, cells = [], [], [[] for _ in times_ms]
    missing = chance.choice(("", "-", "NaN", "n/a", "-999"))
    if missing == "-999":
        options["missing"] = ("-999",)
    for headers, metric, conversions in chosen:
        header, unit = chance.choice(headers), chance.choice(list(conversions))
        name = metric or _NAMES[header]
        columns.append(header)
        units.append(unit)
        for n, time_ms in enumerate(times_ms):
            if chance.random() < 0.05 and n:
                cells[n].append(missing)
                continue
            stated = round(
                conversions[unit](chance.uniform(20, 2000 if name == "engine_rpm" else 90)), digits
            )
            if header in _WORDS:
                cells[n].append(_WORDS[header][int(stated)])
            else:
                cells[n].append(f"{stated:.{digits}f}".replace(".", mark))
            truth[devices[n], time_ms, name] = _back(name, unit, stated)
    return columns, cells, units


_NAMES = {"field1": "field1", "Kanal-A": "kanal_a", "motion": "motion", "Tür": "tur"}
_WORDS = {"motion": ("off", "on"), "Tür": ("zu", "offen")}


def _back(metric: str, unit: str, value: float) -> float:
    if unit == "°F" and metric in CATALOGUE.metrics:
        return (value - 32) * 5 / 9
    if unit == "K":
        return value - 273.15
    return value * {"mph": 1.609344, "m/s": 3.6}.get(unit, 1)


def _with_unit(chance: random.Random, column: str, unit: str) -> str:
    if not unit:
        return column
    return chance.choice((f"{column} ({unit})", f"{column} [{unit}]", f"{column}({unit})"))


def _long(  # noqa: PLR0913
    chance: random.Random,
    columns: list[str],
    cells: list[list[str]],
    units: list[str],
    clock: Clock,
    devices: list[list[str]],
) -> tuple[list[str], list[list[str]], Clock, list[list[str]]]:
    names = chance.choice(
        (
            ("PID", "VALUE", "UNITS"),
            ("metric", "value", "unit"),
            ("Messgröße", "Wert", "Einheit"),
            ("parameter", "reading", "uom"),
        )
    )
    found: list[list[str]] = []
    times: list[list[str]] = []
    owners: list[list[str]] = []
    for n, row in enumerate(cells):
        for column, unit, cell in zip(columns, units, row, strict=True):
            found.append([column, cell, unit])
            times.append(clock.cells[n])
            owners.append(devices[n])
    return list(names), found, clock._replace(cells=times), owners


def _extras(chance: random.Random, count: int) -> tuple[list[str], list[list[str]]]:
    columns, cells = [], [[] for _ in range(count)]
    for kind in chance.sample(("No", "serial_number", "status", "empty"), chance.choice((0, 1, 2))):
        columns.append(kind)
        for n in range(count):
            cells[n].append(
                {
                    "No": str(n + 1),
                    "serial_number": "20110512",
                    "status": chance.choice(("ok", "idle")),
                    "empty": "",
                }[kind]
            )
    return columns, cells


def _json(cell: str, mark: str) -> Any:
    try:
        return json.loads(cell) if cell != "NaN" else None
    except ValueError:
        return cell


def _text(
    chance: random.Random,
    head: list[str],
    body: list[list[str]],
    delimiter: str,
    options: dict[str, Any],
) -> str:
    """The lines of a table, with what loggers write above, beside or instead of its header."""
    end = chance.choice(("\n", "\r\n", "\r"))
    quote = chance.random() < 0.2
    trailing = delimiter if chance.random() < 0.1 else ""

    def line(row: list[str]) -> str:
        return delimiter.join(f'"{c}"' if quote or delimiter in c else c for c in row) + trailing

    above = chance.choice(
        (
            [],
            [],
            ["Export of the logger"],
            ["# logger 1.2", "# 3 channels"],
            [f"sep={delimiter}"],
            [f"Logger{delimiter}X-1", f"Serial{delimiter}123", ""],
            ["! made by X", "! 2025-11-25"],
        )
    )
    if above and above[0].startswith("!"):
        options["comment"] = "!"
    is_plain = all(cell and " " not in cell for row in [head, *body] for cell in row)
    if is_plain and not trailing and not above and chance.random() < 0.5:
        widths = [max(map(len, column)) + 2 for column in zip(head, *body, strict=True)]
        rows_ = [head, *body]
        return end.join("".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in rows_)
    if not above and not any(map(_has_unit, head)) and chance.random() < 0.1:
        options["columns"] = tuple(head)
        return end.join([*map(line, body), ""])
    if not trailing and chance.random() < 0.08:
        return end.join(
            [*above, line(head), *(line([f"r{n}", *row]) for n, row in enumerate(body))]
        )
    return end.join([*above, line(head), *map(line, body), ""])


def _has_unit(column: str) -> bool:
    return column.endswith((")", "]"))


def _packed(chance: random.Random, text: str, options: dict, truth: dict, dialect: str) -> Case:
    charset = chance.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252"))
    data = text.encode(charset, "replace")
    kind = chance.choice(("csv", "csv", "csv.gz", "zip"))
    if kind == "csv.gz":
        data = gzip.compress(data)
    elif kind == "zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inside/data.csv", data)
        data = packed.getvalue()
    return Case(f"data.{kind}", data, options, truth, f"{dialect} {charset} {kind}")
