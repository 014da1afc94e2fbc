"""Sends an e-mail through a mail server."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage

from jobs.alerts.webhook import GivenUp, NotSent
from tributary.model.alert_target import Relay

TIMEOUT_S = 10.0  # of each step


def send(relay: Relay, message: EmailMessage) -> None:
    """Send a message to all of its receivers.

    Raises:
        GivenUp: the server rejects the message permanently.
        NotSent: anything else.
    """
    try:
        with _connect(relay) as server:
            if relay.user:
                server.login(relay.user, relay.password)
            server.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        raise _failure(min(codes), "every receiver was rejected") from None
    except smtplib.SMTPResponseException as error:
        raise _failure(error.smtp_code, error.smtp_error) from None
    except (smtplib.SMTPException, OSError) as error:
        raise NotSent(f"{type(error).__name__}: {error}") from None


def _connect(relay: Relay) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if relay.scheme == "smtps":
        return smtplib.SMTP_SSL(relay.host, relay.port, timeout=TIMEOUT_S, context=context)
    server = smtplib.SMTP(relay.host, relay.port, timeout=TIMEOUT_S)
    if relay.scheme == "smtp+starttls":
        try:
            server.starttls(context=context)
        except (smtplib.SMTPException, OSError):
            server.close()
            raise
    return server


def _failure(code: int, text: bytes | str) -> NotSent:
    shown = text.decode(errors="replace") if isinstance(text, bytes) else text
    # A wrong login (535) can be corrected; a message that is rejected cannot.
    kind = GivenUp if code in (550, 551, 552, 553, 554) else NotSent
    return kind(f"the mail server responded with {code} {shown[:200]}")
