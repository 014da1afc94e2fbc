"""Logs: one line per event on standard error, a constant message with fields.

User data is always a field, never part of the message, and tracebacks are printed without
variables: they may contain tokens.
"""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC
from typing import TYPE_CHECKING

from loguru import logger

from tributary.settings import Settings

if TYPE_CHECKING:
    from loguru import Message, Record


REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")  # of the current request


def configure(settings: Settings, role: str) -> None:
    """Log to standard error, in the format that the settings select."""
    logger.remove()
    logger.configure(extra={"role": role}, patcher=_add_request_id)
    level = settings.log_level
    if settings.log_format == "json":
        logger.add(_write_json, level=level, diagnose=False, backtrace=False)
    else:
        logger.add(_write_text, level=level, format=_text, diagnose=False, backtrace=False)
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.WARNING, force=True)


def _add_request_id(record: Record) -> None:
    if request_id := REQUEST_ID.get():
        record["extra"].setdefault("request_id", request_id)


def _write_text(message: Message) -> None:
    sys.stderr.write(message)


def _text(record: Record) -> str:
    fields = {k: v for k, v in record["extra"].items() if k not in ("role", "fields")}
    # Quoted as JSON, so that a line break in a value cannot forge a log line.
    record["extra"]["fields"] = " ".join(f"{k}={_quoted(v)}" for k, v in fields.items())
    return (
        "{time:YYYY-MM-DDTHH:mm:ss.SSS!UTC}Z {level: <7} {extra[role]}[{process}] "
        "{message} {extra[fields]}\n{exception}"
    )


def _quoted(value: object) -> str:
    text = json.dumps(value, default=str)
    return text[1:-1] if text.startswith('"') and " " not in text and "=" not in text else text


def _write_json(message: Message) -> None:
    record = message.record
    line = {
        "time": record["time"].astimezone(UTC).isoformat(timespec="milliseconds"),
        "level": record["level"].name,
        "pid": record["process"].id,
        "message": record["message"],
        **record["extra"],
    }
    if record["exception"] is not None:
        line["exception"] = repr(record["exception"].value)
    sys.stderr.write(json.dumps(line, default=str) + "\n")


class _ToLoguru(logging.Handler):
    """Forwards the records of libraries that use the standard logging module."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        logger.bind(action="library", library=record.name, text=text).opt(
            exception=record.exc_info
        ).log(record.levelname if record.levelname in _LEVELS else "WARNING", "library log")


_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
