"""Column names: which role a name suggests, and the metric and unit that it states. Pure."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from tributary.load import vocabulary
from tributary.model import reading, units

_BRACKETS = re.compile(r"\s*[(\[{]([^()\[\]{}]{0,40})[)\]}]\s*$")
_AFTER_COMMA = re.compile(r"^(?P<base>[^,]+),\s*(?P<unit>[^,()]+?)\s*(?:\(.*\))?$")
_LAST_WORD = re.compile(
    r"^(?P<base>.*?\S)(?:[\s_/]+|\s+-\s+)(?:in\s+)?(?P<unit>\S*[°%/²³µ]\S*"
    r"|(?<=\s)(?:hPa|kPa|mbar|psi|in ?Hg|mmHg|mph|kph|ppm|ppb|kWh|mV|mA|kW))$"
)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_METRIC_LENGTH_MAX = 64
_CODE_ENDINGS = ("code", "nummer", "kennung", "serial")
_LATIN = str.maketrans({"ß": "ss", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "œ": "oe", "ł": "l",
                        "Ł": "L", "đ": "d"})  # fmt: skip
_OFFSET = re.compile(
    r"\b(?:GMT|UTC)\s*([+-](?:1[0-7]|0?\d)(?::?[0-5]\d)?)?(?=$|[^A-Za-z0-9+-])"
    r"|[(\[]([+-](?:1[0-7]|0?\d):?[0-5]\d)[)\]]"
)
_ZONE = re.compile(r"(?<![A-Za-z/])(?:[A-Z][a-z]+/[A-Z][A-Za-z_/]+|[A-Z]{3,4})(?![A-Za-z/])")


class Name(NamedTuple):
    """A column name: its metric, the unit that it states (as written), and the longer name.

    `qualified` still has the source in brackets: `Speed (GPS)` → `speed` and `speed_gps`.
    """

    metric: str
    unit: str
    qualified: str


def plain(column: str) -> str:
    """A name in lower case with underscores: `Coolant Temp` → `coolant_temp`."""
    folded = unicodedata.normalize("NFKD", column.translate(_LATIN))
    ascii_ = folded.encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", _HUMP.sub("_", ascii_).lower()).strip("_")


def bare(column: str) -> str:
    """`plain` of a name without the units in it."""
    return plain(_split(column)[0])


def read(column: str, *, keep_valid: bool = False) -> Name:
    """The metric and unit of a column name; `keep_valid` keeps valid metric names as they are."""
    if keep_valid and reading.is_metric(column):
        return Name(column, "", column)
    base, unit, source = _split(column)
    qualified = plain(f"{base} {source}")
    short = plain(base)
    return Name(_valid(vocabulary.METRICS.get(short, short)), unit, _valid(qualified))


def unit_of(text: str) -> str | None:
    """The canonical unit of a cell of a units row or column, with or without brackets."""
    stripped = text.strip().strip("()[]{}").strip()
    return units.parse(stripped) if stripped else None


def device(text: str) -> str:
    """A valid device name: accents are removed, other invalid characters become one `-`.

    `Living Room` → `Living-Room`, `Küche` → `Kuche`. Nothing for letters that are not Latin.
    """
    if reading.is_device(text):
        return text
    folded = unicodedata.normalize("NFKD", text.strip().translate(_LATIN))
    bare = "".join(c for c in folded if not unicodedata.combining(c))
    if any(c.isalnum() and not c.isascii() for c in bare):
        return ""
    found = re.sub(r"[^A-Za-z0-9._:/-]+", "-", bare).strip("-")[:128]
    return found if reading.is_device(found) else ""


def rank(column: str, ranks: dict[str, int]) -> int | None:
    """The rank of a column name in a vocabulary; of nested names, also the last parts count."""
    parts = re.split(r"[._]", column) if "." in column else [column]
    for start in range(len(parts) if "." in column else 1):
        name = bare(".".join(parts[start:]))
        if name in ranks:
            return ranks[name] + start
    return None


def device_rank(column: str) -> int | None:
    """The rank of a name as that of the device, 0 the most likely, or None."""
    found = rank(column, vocabulary.DEVICES)
    if found is None and vocabulary.DEVICE.fullmatch(bare(column)):
        return len(vocabulary.DEVICES)
    return found


def time_rank(column: str) -> int | None:
    """The rank of a name as that of the time, 0 the most likely, or None."""
    if offset_text(column) is not None:
        column = _OFFSET.sub("", column).replace("()", "").strip(" ,") or column
    if (zone := zone_text(column)) is not None:
        column = column.replace(zone, "").strip(" ,()[]") or column
    found = rank(column, vocabulary.TIMES)
    if found is None and vocabulary.TIME.fullmatch(bare(column)):
        return len(vocabulary.TIMES)
    return found


def offset_text(column: str) -> str | None:
    """The zone that a name states: `Date Time, GMT-07:00` → `-07:00`, `Time (UTC)` → `+0`."""
    match = _OFFSET.search(re.sub(r"(?i)(?<![a-z])(utc|gmt)(?![a-z])", _upper, column))
    return (match[1] or match[2] or "+0") if match else None


def zone_text(column: str) -> str | None:
    """The zone that a name may state by a name: `Time (CST)`, `Time [Europe/Berlin]`."""
    known = vocabulary.SHARED_ZONES | vocabulary.ABBREVIATIONS_MIN.keys()
    return next((z for z in _ZONE.findall(column) if "/" in z or z.lower() in known), None)


def is_quantity(text: str) -> bool:
    """Whether a name is that of a quantity and of nothing else: `temperature`, `Speed (mph)`."""
    words = bare(text).split("_")
    return (
        bool(vocabulary.QUANTITIES_ALONE.intersection(words))
        and vocabulary.QUANTITIES_ALONE.union(vocabulary.QUANTITY_PARTS).issuperset(words)
    ) or bool(_split(text)[1])


def is_identifier(column: str) -> bool:
    """Whether the numbers of a column identify something, so that they measure nothing."""
    last = bare(column).rpartition("_")[2]
    return last in vocabulary.IDENTIFIERS or bool(vocabulary.IDENTIFIER.search(bare(column)))


def is_code(column: str) -> bool:
    """Whether a constant integer under this name is a code or serial number."""
    name = bare(column)
    return bool(set(name.split("_")) & vocabulary.CODES) or name.endswith(_CODE_ENDINGS)


def is_category(column: str) -> bool:
    """Whether whole numbers under this name are names of things: `loc_code`, `Raum-Nr`, `zone_id`."""
    name = bare(column)
    return name.rpartition("_")[2] in vocabulary.CATEGORIES or name.endswith(_CODE_ENDINGS)


def is_row_number(column: str) -> bool:
    """Whether a column numbers the rows if its cells count up."""
    name = bare(column)
    return name in vocabulary.ROW_NUMBERS or name.endswith("_id") or column.strip() in ("#", "№")


def _upper(match: re.Match[str]) -> str:
    return f" {match[0].upper()}"


def _valid(name: str) -> str:
    if name[:1].isdigit() or reading.reserved(name) is not None:
        name = "_" + name
    return name[:_METRIC_LENGTH_MAX]


def _split(column: str) -> tuple[str, str, str]:
    """The name without unit and source, the unit, and the source (`OBD`, `GPS`)."""
    base, unit, source = column.strip(), "", ""
    if (match := _AFTER_COMMA.fullmatch(base)) and units.parse(match["unit"]):
        return match["base"].strip(), match["unit"], ""
    while match := _BRACKETS.search(base):
        inside = match[1].strip()
        if inside and not unit and units.parse(inside):
            unit = inside
        elif inside.lower() in vocabulary.SOURCES and not source:
            source = inside
        elif inside:
            break
        base = base[: match.start()]
    if not unit and (match := _LAST_WORD.fullmatch(base)) and units.parse(match["unit"]):
        base, unit = match["base"], match["unit"]
    return base or column, unit, source
