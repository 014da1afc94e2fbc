"""The check of the directory of raw readings, at start: nothing here imports numpy."""

from __future__ import annotations

from pathlib import Path

from tributary.errors import Misconfigured
from tributary.settings import Settings


def check(settings: Settings) -> None:
    """Check that raw readings can be written, if they are wanted.

    Raises:
        Misconfigured: pyarrow is missing, or the directory cannot be created.
    """
    if not settings.raw_dir or settings.history == "off":
        return
    try:
        import pyarrow.parquet  # noqa: F401, PLC0415 (an extra)
    except ImportError:
        raise Misconfigured(
            f"raw_dir={settings.raw_dir!r} needs pyarrow; install it with "
            "pip install 'tributary[parquet]', or unset TRIBUTARY_RAW_DIR"
        ) from None
    try:
        Path(settings.raw_dir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(
            f"raw_dir={settings.raw_dir!r}: {error.strerror}; make it writable for this user"
        ) from None
