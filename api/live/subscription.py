"""What a request subscribes to: devices by name, or a page of the list of devices. Pure."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl

from api import collect
from api.read.parameters import is_number
from tributary.errors import Refused

DEVICES_MAX = 200
PAGE_DEFAULT = 100
_NAMES = ("device", "prefix", "after", "limit", "alerts")
_PAGE_NAMES = ("prefix", "after", "limit")
ALL_ALERTS = "all"


class Page(NamedTuple):
    """Up to `limit` devices that begin with `prefix` and come after `after`, as in the list."""

    prefix: str = ""
    after: str = ""
    limit: int = PAGE_DEFAULT


class Subscription(NamedTuple):
    """Devices by name, or else a page, whose devices change."""

    devices: frozenset[str]
    page: Page | None
    has_all_alerts: bool = False  # those of other devices, too


def parse(query: bytes) -> Subscription:
    """Parse a query string; without any field, the first page of all devices.

    Raises:
        Refused: 400 naming the field, or 404 for a name that no device can have.
    """
    fields: dict[str, list[str]] = {name: [] for name in _NAMES}
    for name, value in _fields(query):
        if name not in fields:
            raise _bad(name, f"{name!r:.40} is not a field; use {', '.join(_NAMES)}")
        fields[name].append(value)
    devices = frozenset(fields["device"])
    alerts = _one(fields, "alerts")
    if alerts not in ("", ALL_ALERTS):
        raise _bad("alerts", f"alerts={alerts!r:.40} is not {ALL_ALERTS}")
    if not devices:
        prefix, after = _one(fields, "prefix"), _one(fields, "after")
        page = Page(prefix, after, _limit(_one(fields, "limit")))
        return Subscription(devices, page, alerts == ALL_ALERTS)
    if given := [name for name in _PAGE_NAMES if fields[name]]:
        raise _bad(given[0], f"{given[0]} and device exclude each other; use one of them")
    if len(devices) > DEVICES_MAX:
        raise _bad("device", f"{len(devices)} devices, and the limit is {DEVICES_MAX}")
    for device in devices:
        collect.check_device(device)
    return Subscription(devices, None, alerts == ALL_ALERTS)


def _fields(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise _bad("query", "the query is not URL-encoded UTF-8") from None


def _one(fields: dict[str, list[str]], name: str) -> str:
    values = fields[name]
    if len(values) > 1:
        raise _bad(name, f"{name} appears {len(values)} times; use it once")
    return values[0] if values else ""


def _limit(text: str) -> int:
    if not text:
        return PAGE_DEFAULT
    if not is_number(text, DEVICES_MAX):
        raise _bad("limit", f"limit={text!r:.40} is not a number from 1 to {DEVICES_MAX}")
    return int(text)


def _bad(field: str, message: str) -> Refused:
    return Refused(message, status=400, code="invalid_subscription", field=field[:40])
