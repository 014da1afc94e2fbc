"""The check of the directory of raw readings, at start: nothing here imports numpy."""

from __future__ import annotations

from pathlib import Path

from tributary.errors import Misconfigured
from tributary.history import raw_extra
from tributary.settings import Settings


def check(settings: Settings) -> None:
    """Check that raw readings can be written, if they are wanted.

    Raises:
        Misconfigured: pyarrow is missing, or the directory cannot be created.
    """
    if not raw_extra.is_needed(settings):
        return
    try:
        Path(settings.raw_dir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(
            f"raw_dir={settings.raw_dir!r}: {error.strerror}; make it writable for this user"
        ) from None
