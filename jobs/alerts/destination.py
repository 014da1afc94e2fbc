"""A destination of alerts, with its pauses after failures."""

from __future__ import annotations

import asyncio
import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from loguru import logger

from jobs.alerts import mail, message, webhook
from jobs.alerts.webhook import GivenUp, NotSent
from tributary.model import alert_target
from tributary.model.alert import Transition
from tributary.model.alert_target import Allowed, Hook, Relay
from tributary.model.window import parse_duration_ms
from tributary.settings import Settings

PAUSES_S = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0)  # later ones are as long as the last
AT_ONCE_MAX = 8  # deliveries to one destination


class Destination(ABC):
    """Where transitions are sent. While it fails, one delivery at a time is tried."""

    def __init__(self, identity: str, name: str, retry_for_s: float) -> None:
        """`identity` may contain a secret; `name` is shown."""
        self.key = hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()
        self.name = name
        self.slots = asyncio.Semaphore(AT_ONCE_MAX)
        self.on_failure: Callable[[], None] = lambda: None
        self._retry_for_s = retry_for_s
        self._failures = 0
        self._resume_at_s = 0.0  # monotonic clock
        self._probe = asyncio.Lock()

    @abstractmethod
    async def send(self, transition: Transition) -> None:
        """Send once.

        Raises:
            NotSent: it was not delivered, or that is unknown.
        """

    async def deliver(self, transition: Transition) -> str:
        """Send until it is delivered; returns why it was given up, or nothing."""
        began_s = time.monotonic()
        while True:
            try:
                await self._attempt(transition)
            except GivenUp as error:
                return str(error)
            except NotSent as error:
                if time.monotonic() - began_s > self._retry_for_s:
                    return f"{error}; tried for {self._retry_for_s:.0f} s"
            else:
                return ""

    async def _attempt(self, transition: Transition) -> None:
        if self._failures == 0:
            await self._send(transition)
            return
        async with self._probe:
            await asyncio.sleep(max(0.0, self._resume_at_s - time.monotonic()))
            await self._send(transition)

    async def _send(self, transition: Transition) -> None:
        log = logger.bind(action="alert_delivery", destination=self.name)
        try:
            await self.send(transition)
        except GivenUp:
            raise
        except NotSent as error:
            pause_s = PAUSES_S[min(self._failures, len(PAUSES_S) - 1)]
            self._resume_at_s = time.monotonic() + pause_s
            if self._failures == 0:
                log.bind(reason=str(error)).warning("alerts cannot be delivered; retrying")
            self._failures += 1
            self.on_failure()
            raise
        if self._failures:
            log.bind(attempts=self._failures).info("alerts are delivered again")
            self._failures = 0


class WebhookDestination(Destination):
    """An URL."""

    def __init__(
        self, hook: Hook, secrets: Sequence[bytes], allowed: Allowed, retry_for_s: float
    ) -> None:
        super().__init__(f"webhook {hook.url}", hook.name, retry_for_s)
        self._hook, self._secrets, self._allowed = hook, secrets, allowed

    async def send(self, transition: Transition) -> None:
        """Post it once."""
        body = message.body(transition)
        headers = message.headers(transition.id, body, self._secrets, int(time.time()))
        await webhook.post(self._hook, headers, body, self._allowed)


class MailDestination(Destination):
    """A mail server with receivers."""

    def __init__(
        self, relay: Relay, sender: str, receivers: Sequence[str], retry_for_s: float
    ) -> None:
        name = f"{relay.scheme}://{relay.host}:{relay.port}"
        super().__init__(f"mail {' '.join(sorted(receivers))}", name, retry_for_s)
        self._relay, self._sender, self._receivers = relay, sender, receivers

    async def send(self, transition: Transition) -> None:
        """Send one e-mail."""
        text = message.mail(transition, self._sender, self._receivers)
        await asyncio.to_thread(mail.send, self._relay, text)


def destinations(settings: Settings) -> list[Destination]:
    """Those of the settings, which are valid."""
    retry_for_s = parse_duration_ms(settings.alert_retry_for) / 1000
    secrets = alert_target.secrets(settings.alert_webhook_secret)
    allowed = alert_target.allowed(settings.alert_webhook_allow)
    found: list[Destination] = [
        WebhookDestination(hook, secrets, allowed, retry_for_s)
        for hook in alert_target.hooks(settings.alert_webhooks)
    ]
    if settings.alert_mail_to:
        relay = alert_target.relay(settings.smtp_url)
        receivers = alert_target.addresses(settings.alert_mail_to)
        found.append(MailDestination(relay, settings.alert_mail_from, receivers, retry_for_s))
    return found
