"""Raw answers of the API for callers who asked for them: bounded, and without the key and cookies."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from foxapi_async.http.redaction import Redactor
from foxapi_async.http.responses import Reply
from foxapi_async.models import RawResponse

OnResponse = Callable[[RawResponse], object]

_MOST_BODY: Final = 64 * 1024
_MOST_HEADERS: Final = 100
_MOST_VALUE: Final = 4096

_COOKIES: Final = frozenset({"set-cookie", "set-cookie2"})

_log = logging.getLogger("foxapi_async.http")


def tell(
    listener: OnResponse,
    what: str,
    headers: Mapping[str, str],
    reply: Reply,
    redactor: Redactor,
) -> None:
    """Call the listener with a reply, and log what it raises."""
    method, _, path = what.partition(" ")
    kept: dict[str, str] = {}
    for name, value in headers.items():
        if len(kept) < _MOST_HEADERS and name.lower() not in _COOKIES:
            kept.setdefault(name.lower(), redactor.text(value)[:_MOST_VALUE])
    response = RawResponse(
        method=method,
        path=path,
        status=reply.status,
        headers=MappingProxyType(kept),
        body=reply.body[:_MOST_BODY],
        size=len(reply.body),
        request_id=reply.request_id,
    )
    try:
        listener(response)
    # Not even SystemExit may pass: it would cut off a billed POST.
    except BaseException:  # noqa: BLE001
        _log.exception("on_response raised an exception for %s", what)
