"""Whether there are files with raw readings; nothing here imports numpy or a database."""

from __future__ import annotations

from tributary.errors import Misconfigured
from tributary.settings import Settings


def is_needed(settings: Settings) -> bool:
    """Whether raw readings are written, and pyarrow is there for it.

    Raises:
        Misconfigured: they are, and it is missing.
    """
    if not settings.raw_dir or settings.history == "off":
        return False
    try:
        import pyarrow.parquet  # noqa: F401, PLC0415 (an extra)
    except ImportError:
        raise Misconfigured(
            f"raw_dir={settings.raw_dir!r} needs pyarrow; install it with "
            "pip install 'tributary[parquet]', or unset TRIBUTARY_RAW_DIR"
        ) from None
    return True
