"""The delivery of logged transitions: in order, again after failures with the same id, given up."""

from __future__ import annotations

import re
from collections.abc import Callable
from email import message_from_bytes
from typing import Any

import msgspec
import pytest
import standardwebhooks
from aiosmtpd.controller import Controller
from support.alert_log import begin, deliver, logged, position
from support.hook_receiver import SECRET, Receiver
from support.processes import Process, Server, free_port
from support.waiting import wait_until

from jobs.alerts import destination as destination_
from jobs.alerts import log_reader
from tributary.model import alert
from tributary.model.clock import utc_ms
from tributary.operate import alert_counts, alert_delivery
from tributary.operate.alert_delivery import Silence
from tributary.settings import Settings
from tributary.store import keys

ACTIVE = re.compile("action=alerts_active")


def test_what_is_logged_is_delivered_in_order_with_its_id(
    server: Server, settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    logged(server, settings, "a", 0)
    deliver(settings, lambda: position(server, settings, "a") == 1)  # before the first start
    assert receiver.hooks == []
    monkeypatch.setattr(log_reader, "READ_MAX", 10)
    wanted = [logged(server, settings, "a", n) for n in range(1, 26)]
    logged(server, settings, "a", 300, "pending")
    logged(server, settings, "a", 301, "ok", "pending")
    wanted.append(logged(server, settings, "a", 302, "ok", "firing"))
    deliver(settings, lambda: position(server, settings, "a") == 29)
    assert receiver.ids == wanted
    assert [hook.event["type"] for hook in receiver.hooks[-2:]] == [
        "alert.firing",
        "alert.resolved",
    ]


def test_a_failed_delivery_is_repeated_with_the_same_id_and_delays_no_order(
    server: Server, settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(destination_, "PAUSES_S", (0.02,))
    begin(server, settings)
    wanted = [logged(server, settings, "a", n) for n in range(3)]
    receiver.status = lambda _: 200 if len(receiver.hooks) > 4 else 503
    deliver(settings, lambda: position(server, settings, "a") == 3)
    assert receiver.ids == [*[wanted[0]] * 5, *wanted[1:]]
    counts = alert_counts.read(server.client, settings.partitions)
    (name,) = counts.behind
    assert counts.deliveries == {("delivered", name): 3, ("failed", name): 4}
    assert counts.behind[name] == 0
    for hook in receiver.hooks[:5]:
        standardwebhooks.Webhook(SECRET).verify(hook.body, hook.headers)


def test_what_was_not_confirmed_is_delivered_again_after_a_restart(
    server: Server, settings: Settings, receiver: Receiver
):
    begin(server, settings)
    wanted = logged(server, settings, "a", 1)
    receiver.status = lambda _: 503
    deliver(settings, lambda: receiver.hooks)
    assert position(server, settings, "a") == 0
    receiver.status = lambda _: 200
    deliver(settings, lambda: position(server, settings, "a") == 1)
    assert set(receiver.ids) == {wanted}


def test_what_is_rejected_or_fails_for_too_long_is_given_up(
    server: Server, settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(destination_, "PAUSES_S", (0.01,))
    begin(server, settings)
    rejected, failed = (logged(server, settings, "a", n) for n in (1, 2))
    receiver.status = lambda hook: 410 if hook.id == rejected else 500
    short = msgspec.structs.replace(settings, alert_retry_for="1s")
    deliver(short, lambda: position(server, settings, "a") == 2)
    last, first = alert_delivery.undelivered(server.client, settings.partitions, 10)
    assert first.transition is not None
    assert last.transition is not None
    assert (first.transition.id, first.reason) == (rejected, "the receiver responded with 410")
    assert (last.transition.id, last.reason) == (
        failed, "the receiver responded with 500; tried for 1 s",
    )  # fmt: skip
    assert "hidden" not in first.destination


def test_trimmed_transitions_are_reported_and_deleted_ones_are_skipped(
    server: Server, settings: Settings, receiver: Receiver
):
    begin(server, settings)
    partition = keys.partition_of("a", settings.partitions)
    server.client.hset(keys.meta(partition), "transitions", alert.LOGGED_MAX + 7)
    wanted = logged(server, settings, "a", 1)
    deliver(settings, lambda: position(server, settings, "a") == alert.LOGGED_MAX + 8)
    assert receiver.ids == [wanted]
    (trimmed,) = alert_delivery.undelivered(server.client, settings.partitions, 10)
    assert trimmed.reason == "8 transitions were trimmed before they were sent"


def test_a_silenced_rule_is_not_delivered(server: Server, settings: Settings, receiver: Receiver):
    begin(server, settings)
    now_ms = utc_ms()
    logged(server, settings, "a", 1)
    server.client.hset(keys.rows(keys.partition_of("b", 2)), "b|m", "1")
    for silence in (Silence("a", "m", "high", now_ms + 60_000), Silence("b", "m", "high", now_ms)):
        alert_delivery.silence(server.client, 2, silence, now_ms - 1)
    wanted = logged(server, settings, "b", 2)
    deliver(settings, lambda: position(server, settings, "a") >= 1 and receiver.hooks)
    assert receiver.ids == [wanted]
    held = alert_delivery.silences(server.client, 2, utc_ms())
    assert [silence.device for silence in held] == ["a"]
    assert alert_delivery.end_silence(server.client, 2, "a", "m", "high")
    assert not alert_delivery.end_silence(server.client, 2, "a", "m", "high")


def test_a_forgotten_device_has_no_silence_and_no_undelivered_transition(
    server: Server, settings: Settings, receiver: Receiver
):
    begin(server, settings)
    receiver.status = lambda _: 410
    one = msgspec.structs.replace(settings, partitions=1)
    server.client.flushall()
    deliver(one, lambda: position(server, one, "gone") == 0)
    for device in ("gone", "kept"):
        logged(server, one, device, 1)
        alert_delivery.silence(server.client, 1, Silence(device, "m", "x", 9), 1)
    deliver(one, lambda: position(server, one, "gone") == 2)
    assert alert_delivery.forget(server.client, 0, ["gone"]) == 2
    assert [s.device for s in alert_delivery.silences(server.client, 1, 1)] == ["kept"]
    (left,) = alert_delivery.undelivered(server.client, 1, 10)
    assert left.transition is not None
    assert left.transition.device == "kept"


def test_one_of_two_processes_delivers(
    server: Server, settings: Settings, receiver: Receiver, run: Callable[..., Process]
):
    begin(server, settings)
    environ = {
        f"TRIBUTARY_{name.upper()}": str(getattr(settings, name))
        for name in ("redis_url", "partitions", "alert_webhooks", "alert_webhook_secret",
                     "alert_webhook_allow")
    }  # fmt: skip
    first = run("jobs", "alerts", environ=environ)
    first.wait_for(ACTIVE)
    second = run("jobs", "alerts", environ=environ)
    wanted = [logged(server, settings, "a", 1)]
    wait_for(lambda: receiver.hooks)
    first.kill()
    wanted.append(logged(server, settings, "a", 2))
    second.wait_for(ACTIVE)
    wait_for(lambda: receiver.ids[-1] == wanted[-1])
    assert second.stop() == 0
    # What was killed may not have stored that it had delivered the first one.
    assert list(dict.fromkeys(receiver.ids)) == wanted


def wait_for(is_done: Callable[[], object]) -> None:
    wait_until(is_done, "a delivery")


class Mailbox:
    """What a mail server has accepted; it rejects what is for nobody@."""

    def __init__(self) -> None:
        self.mails: list[Any] = []

    async def handle_RCPT(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Any, to: str, *_: Any
    ) -> str:
        if to.startswith("nobody@"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append((envelope.rcpt_tos, message_from_bytes(envelope.content)))
        return "250 OK"


def test_mails_are_delivered_and_rejected_ones_are_given_up(server: Server, settings: Settings):
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        mails = msgspec.structs.replace(
            settings, alert_webhooks="", alert_mail_to="me@b.example,you@b.example",
            alert_mail_from="alerts@b.example", smtp_url=f"smtp://127.0.0.1:{controller.port}",
        )  # fmt: skip
        begin(server, mails)
        wanted = logged(server, mails, "a", 1)
        deliver(mails, lambda: position(server, mails, "a") == 1)
        ((receivers, mail),) = mailbox.mails
        assert receivers == ["me@b.example", "you@b.example"]
        assert mail["Message-ID"] == f"<{wanted}@b.example>"
        assert mail["Subject"] == "[info] high: a m"
        server.client.flushall()
        nobody = msgspec.structs.replace(mails, alert_mail_to="nobody@b.example")
        begin(server, nobody)
        logged(server, nobody, "a", 2)
        deliver(nobody, lambda: position(server, nobody, "a") == 1)
        (given_up,) = alert_delivery.undelivered(server.client, 2, 10)
        assert given_up.reason == "the mail server responded with 550 every receiver was rejected"
    finally:
        controller.stop()
