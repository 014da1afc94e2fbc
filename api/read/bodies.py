"""The JSON bodies of the read API. The OpenAPI schemas are generated from these types."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tributary.model import reading

Count = Annotated[int, Meta(ge=0)]
Device = Annotated[
    str,
    Meta(
        pattern=f"^{reading.DEVICE_PATTERN}$",
        description=reading.DEVICE_RULE,
        extra_json_schema={"not": {"enum": sorted(reading.NOT_DEVICES)}},
    ),
]
MetricName = Annotated[
    str,
    Meta(
        pattern=f"^{reading.METRIC_PATTERN}$",
        description=reading.METRIC_RULE,
        extra_json_schema={"not": {"enum": sorted(reading.RESERVED)}},
    ),
]
Duration = Annotated[
    str,
    Meta(
        pattern="^[1-9][0-9]{0,8}[smhd]$",
        description="A whole number of seconds, minutes, hours or days",
    ),
]
Time = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z$",
        extra_json_schema={"format": "date-time"},
    ),
]
Age = Annotated[int, Meta(ge=0, description="Milliseconds since its newest reading was recorded")]
Stddev = Annotated[float | None, Meta(description="Sample standard deviation (n - 1)")]
Increase = (
    Annotated[
        float | None,
        Meta(
            description="What a counter has gained, whether or not it was reset. Null if the series has no "
            "reading here, or only its first one, and for slots of the history. Absent unless the "
            "catalogue declares a counter"
        ),
    ]
    | UnsetType
)
Rate = (
    Annotated[
        float | None,
        Meta(
            description="increase per second of the time from `from`, or from the first reading if "
            "it is later, to `to`; null or absent like it"
        ),
    ]
    | UnsetType
)
Quantile = (
    Annotated[
        float | None,
        Meta(
            description="The value that this share of the readings does not exceed, about. Null "
            "without readings, if readings are from a time when the metric had no quantiles, and "
            "for slots of the history. Absent unless the catalogue declares quantiles, and for "
            "windows of less than 15 minutes"
        ),
    ]
    | UnsetType
)
Unit = Annotated[str | None, Meta(description="Unit of the values")]
Description = Annotated[str | None, Meta(description="From the catalogue of metrics")]


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """A JSON object with these fields and no others."""


class Statistics(_Body):
    """Statistics of readings; those that are undefined are null."""

    count: Count
    mean: float | None
    stddev: Stddev
    min: float | None
    max: float | None


class Window(Statistics):
    """Statistics over the slots that overlap a window, and the time they cover."""

    from_: Time = msgspec.field(name="from")
    to: Time
    p50: Quantile = UNSET
    p95: Quantile = UNSET
    p99: Quantile = UNSET
    increase: Increase = UNSET
    rate: Rate = UNSET


class Slot(_Body):
    """Statistics of one slot, which has readings."""

    from_: Time = msgspec.field(name="from")
    count: Annotated[int, Meta(ge=1)]
    mean: float
    min: float
    max: float


class Gap(_Body):
    """Readings that are not in the history: Redis had removed them before they were read."""

    from_: Time = msgspec.field(name="from")
    to: Time
    entries: Count
    readings: Count


CompleteUntil = (
    Annotated[
        Time | None,
        Meta(
            description="What comes from the history includes every reading accepted before this "
            "time; null: none yet. Absent if nothing comes from the history"
        ),
    ]
    | UnsetType
)
Gaps = (
    Annotated[
        list[Gap],
        Meta(
            description="When readings were accepted that the history lacks and that may belong "
            "here. Absent if nothing comes from the history"
        ),
    ]
    | UnsetType
)


class Metric(_Body):
    """The current value of a metric, and its statistics in total and by window."""

    current: float | None
    average: Annotated[float | None, Meta(description="Mean of the newest readings")]
    recorded_at: Time
    age_ms: Age
    stale: bool
    plausible: Annotated[
        bool | None,
        Meta(description="Whether current is in the plausible range; null without a range"),
    ]
    unit: Unit
    description: Description
    total: Statistics
    windows: Annotated[dict[str, Window], Meta(description='Empty with keep = "latest"')]


class ListedDevice(_Body):
    """A device, and the age of its newest reading."""

    device: Device
    recorded_at: Time
    age_ms: Age
    stale: bool


class Devices(_Body):
    """A page of the list of devices."""

    devices: list[ListedDevice]
    next: Annotated[str | None, Meta(description="Pass as `after` for the next page; null at end")]


class FleetValue(_Body):
    """The current value of a metric, and the mean of its newest readings."""

    current: float | None
    average: float | None


class FleetDevice(ListedDevice):
    """A device with its current values."""

    values: dict[MetricName, FleetValue]


class FleetCounts(_Body):
    """Devices by state; an implausible or alerting one is also reporting or stale."""

    all: Count
    reporting: Count
    stale: Count
    implausible: Annotated[
        Count, Meta(description="With a value outside the plausible range of the catalogue")
    ]
    alerting: Annotated[Count, Meta(description="With an alert that is firing")]


class FleetMetric(_Body):
    """A metric to sort by."""

    metric: MetricName
    unit: Unit
    devices: Count


class Fleet(_Body):
    """A page of the devices that match, and how many there are."""

    devices: list[FleetDevice]
    matched: Annotated[Count, Meta(description="Devices that match, on all pages")]
    counts: Annotated[FleetCounts, Meta(description="Of the devices that the search finds")]
    metrics: Annotated[
        list[FleetMetric],
        Meta(description="Of the devices that the search finds; the most frequent ones first"),
    ]


class WholeDevice(ListedDevice):
    """A device with all its metrics."""

    metrics: dict[str, Metric]


class MetricWindow(_Body):
    """Statistics of a metric over a window, and the time they cover."""

    device: Device
    metric: MetricName
    window: Duration
    unit: Unit
    description: Description
    count: Count
    mean: float | None
    stddev: Stddev
    min: float | None
    max: float | None
    from_: Time = msgspec.field(name="from")
    to: Time
    p50: Quantile = UNSET
    p95: Quantile = UNSET
    p99: Quantile = UNSET
    increase: Increase = UNSET
    rate: Rate = UNSET
    complete_until: CompleteUntil = UNSET
    gaps: Gaps = UNSET


class RoomAverage(_Body):
    """The average temperature of a room, and the time that it covers."""

    average_temperature: Annotated[float | None, Meta(description="Null without a reading")]
    count: Count
    from_: Time = msgspec.field(name="from")
    to: Time
    complete_until: CompleteUntil = UNSET
    gaps: Gaps = UNSET


class History(_Body, kw_only=True):
    """The slots of a metric, oldest first, without those that have no readings."""

    device: Device
    metric: MetricName
    window: Duration | UnsetType = UNSET
    unit: Unit
    description: Description
    from_: Time = msgspec.field(name="from")
    to: Time
    slot_ms: Annotated[int, Meta(ge=1)]
    slots: list[Slot]
    complete_until: CompleteUntil = UNSET
    gaps: Gaps = UNSET
