"""What is sent about a transition, checked with the reference of Standard Webhooks."""

from __future__ import annotations

import json
import time

import pytest
import standardwebhooks
from support.hook_receiver import SECRET

from jobs.alerts import message
from tributary.model import alert_target, reading
from tributary.model.alert import State, Transition

AT_MS = 1_795_341_600_250
FIRED = Transition(
    "car-9", "engine_temperature", "overheating", "critical", "firing", "pending", AT_MS, 111.0,
    "msg_5c2f",
)  # fmt: skip


def changed(state: State, was: State) -> Transition:
    return Transition("car-9", "m", "r", "info", state, was, AT_MS, 1.0, "msg_1")


def test_the_reference_accepts_each_signature():
    body, secrets = message.body(FIRED), alert_target.secrets(f"{SECRET},whsec_{'QUFB' * 8}")
    headers = message.headers(FIRED.id, body, secrets, int(time.time()))
    for secret in (SECRET, "QUFB" * 8):
        assert standardwebhooks.Webhook(secret).verify(body, headers) == json.loads(body)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(SECRET).verify(body + b" ", headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(SECRET).verify(body, {**headers, "webhook-id": "msg_2"})


def test_the_body_has_type_time_and_the_alert():
    assert json.loads(message.body(FIRED)) == {
        "type": "alert.firing",
        "timestamp": reading.rfc3339(AT_MS),
        "data": {
            "device": "car-9", "metric": "engine_temperature", "rule": "overheating",
            "severity": "critical", "state": "firing", "since": reading.rfc3339(AT_MS),
            "value": 111.0,
        },
    }  # fmt: skip


def test_only_alerts_that_fire_or_have_fired_are_sent():
    assert message.kind(changed("firing", "ok")) == message.FIRING
    assert message.kind(changed("firing", "pending")) == message.FIRING
    assert message.kind(changed("ok", "firing")) == message.RESOLVED
    assert message.kind(changed("pending", "ok")) is None
    assert message.kind(changed("ok", "pending")) is None


def test_a_mail_has_a_subject_and_the_same_id_each_time():
    mail = message.mail(FIRED, "alerts@fleet.example", ["a@b.example", "c@d.example"])
    assert mail["Subject"] == "[critical] overheating: car-9 engine_temperature"
    assert mail["To"] == "a@b.example, c@d.example"
    assert mail["Message-ID"] == "<msg_5c2f@fleet.example>"
    assert "value     111.0" in mail.get_content()
    ended = message.mail(changed("ok", "firing"), "alerts@fleet.example", ["a@b.example"])
    assert ended["Subject"] == "[ok] r: car-9 m"
