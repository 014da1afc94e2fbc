"""The JSON body of every error response."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType


class ErrorDetail(msgspec.Struct, forbid_unknown_fields=True):
    """What is wrong, and with which field of which reading. Programs should use the code."""

    code: Annotated[str, Meta(min_length=1)]
    message: Annotated[str, Meta(min_length=1)]
    field: Annotated[str | UnsetType, Meta(description="Name of the invalid field")] = UNSET
    index: (
        Annotated[int, Meta(ge=0, description="Index of the invalid reading, from 0")] | UnsetType
    ) = UNSET


class ErrorBody(msgspec.Struct, forbid_unknown_fields=True):
    """The standard error body."""

    success: Annotated[bool, Meta(extra_json_schema={"const": False})]
    error: ErrorDetail


_encode = msgspec.json.Encoder().encode


def encodable(text: str) -> str:
    """Text of a client with `?` for lone surrogates, which JSON may contain and UTF-8 may not."""
    return text.encode(errors="replace").decode()


def error_body(
    code: str, message: str, field: str | None = None, index: int | None = None
) -> bytes:
    """The body as JSON; absent fields are left out."""
    detail = ErrorDetail(
        code,
        encodable(message),
        UNSET if field is None else encodable(field),
        UNSET if index is None else index,
    )
    return _encode(ErrorBody(success=False, error=detail))
