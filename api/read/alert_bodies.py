"""The JSON bodies of alerts and silences. The OpenAPI schemas are generated from these types."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from api.read.bodies import Device, MetricName, Time
from tributary.model import alert_rule

RuleName = Annotated[str, Meta(pattern=f"^{alert_rule.NAME_PATTERN}$")]


class Alert(msgspec.Struct, forbid_unknown_fields=True):
    """A rule for one series that is not ok."""

    device: Device
    metric: MetricName
    rule: RuleName
    severity: Annotated[str, Meta(extra_json_schema={"enum": [*alert_rule.SEVERITIES]})]
    state: Literal["pending", "firing", "ok"]
    since: Time
    value: float


class Alerts(msgspec.Struct, forbid_unknown_fields=True):
    """A page of the alerts that are not ok."""

    alerts: list[Alert]
    next: Annotated[str | None, Meta(description="Pass as `after` for the next page; null at end")]


class Silence(msgspec.Struct, forbid_unknown_fields=True):
    """The transitions of a rule for a series are not delivered until a time."""

    device: Device
    metric: MetricName
    rule: RuleName
    until: Time


class Silences(msgspec.Struct, forbid_unknown_fields=True):
    """The silences that have not ended, the first to end first; at most 1,000."""

    silences: list[Silence]
    is_complete: Annotated[bool, Meta(description="false: there are more than 1,000")]
