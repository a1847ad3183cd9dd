"""Answers of the service as values, and the formats that several routes share."""

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
"""The `error.type` of each status; others are a `server_error`."""


@frozen
class Reply:
    """A complete answer: status, headers and body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(factory=dict[str, str])


def json_reply(body: JSON, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a JSON answer."""
    encoded = _ENCODER.encode(body).encode()
    return Reply(status, encoded, {"Content-Type": JSON_TYPE, **(headers or {})})


def text_reply(status: int, text: str, content_type: str = TEXT_TYPE) -> Reply:
    """Return a text answer, as the CDN in front of the service does."""
    return Reply(status, text.encode(), {"Content-Type": content_type})


def error_body(
    status: int, message: str, *, code: str | None = None, error_type: str | None = None
) -> Mapping[str, JSON]:
    """Return the error envelope of the service, without `code` if it is None."""
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
    """Return an error in the format of the service."""
    return json_reply(error_body(status, message, code=code), status=status, headers=headers)


def html_page(title: str) -> str:
    """Return an HTML page such as a captive portal or a CDN sends."""
    return (
        f"<!DOCTYPE html><html><head><title>{title}</title></head>"
        f"<body><center><h1>{title}</h1></center><hr><center>edge</center></body></html>"
    )
