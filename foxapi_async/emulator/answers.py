"""What the service says: one answer as a value, and the spellings that many routes share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from attrs import field, frozen

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"

_ENCODER = json.JSONEncoder(ensure_ascii=False)

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_denied",
    404: "not_found",
    413: "file_too_large_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "service_unavailable_error",
}
"""The `error.type` that goes with a status; what is not listed is a `server_error`."""


@frozen
class Reply:
    """An answer that is ready to be sent: status, headers and the whole body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(factory=dict[str, str])


def json_reply(body: JSON, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Answer with a JSON document."""
    encoded = _ENCODER.encode(body).encode()
    return Reply(status, encoded, {"Content-Type": JSON_TYPE, **(headers or {})})


def text_reply(status: int, text: str, content_type: str = TEXT_TYPE) -> Reply:
    """Answer with words, as the edge in front of the service does."""
    return Reply(status, text.encode(), {"Content-Type": content_type})


def error_body(
    status: int, message: str, *, code: str | None = None, error_type: str | None = None
) -> Mapping[str, JSON]:
    """Build the error envelope of the service; `code` is left out where it has none."""
    error: dict[str, JSON] = {
        "message": message,
        "type": error_type or ERROR_TYPES.get(status, "server_error"),
    }
    if code is not None:
        error["code"] = code
    return {"error": error}


def error_reply(
    status: int,
    message: str,
    *,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Refuse a request in the service's own words."""
    return json_reply(error_body(status, message, code=code), status=status, headers=headers)


def html_page(title: str) -> str:
    """Draw the kind of page that a portal or an edge answers with."""
    return (
        f"<!DOCTYPE html><html><head><title>{title}</title></head>"
        f"<body><center><h1>{title}</h1></center><hr><center>edge</center></body></html>"
    )
