"""What an exception of aiohttp means, and what had come of the answer when it was raised."""

from __future__ import annotations

from typing import Any, Final

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from foxapi_async.errors import APIConnectionError, APITimeoutError
from foxapi_async.http.candidates import MOST_LOOKED_AT, kept_answer
from foxapi_async.http.codec import one_line, to_text
from foxapi_async.http.compression import decompress
from foxapi_async.http.proxies import Proxy
from foxapi_async.http.redaction import Redactor
from foxapi_async.models import without_queries

FOREIGN: Final = (aiohttp.ClientError, HttpProcessingError, OSError)
"""What aiohttp raises."""

MOST_KEPT: Final = 64 * 1024
"""The most bytes that are kept of an answer that cannot be parsed."""

_QUOTES_URL: Final = (aiohttp.ClientResponseError, aiohttp.InvalidURL)
"""Their texts contain the whole URL, and the query of a result URL must not be logged."""


_NOT_CONNECTED: Final = (
    *(aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL),
    aiohttp.ClientHttpProxyError,
)


def failure_of(
    error: Exception,
    what: str,
    redactor: Redactor,
    *,
    sent: bool | None = None,
    proxy: Proxy | None = None,
) -> APIConnectionError:
    """Return the error of ours for one of aiohttp; ``sent`` is None for a request without a body."""
    is_connected = not isinstance(error, _NOT_CONNECTED)
    sent = is_connected if sent is None else sent
    if isinstance(error, _QUOTES_URL):
        said = getattr(error, "message", "it is not a URL").partition("\n")[0].rstrip(":")
    else:
        said = without_queries(str(error))
    if isinstance(error, aiohttp.ClientHttpProxyError):
        said = f"it answered HTTP {error.status} {said}"
    route = "" if sent else through(proxy)
    words = one_line(redactor.text(said)) or type(error).__name__
    if isinstance(error, TimeoutError):
        return APITimeoutError(f"{what}: {words}{route}", sent=sent)
    happened = "the connection broke" if sent else f"nothing was sent{route}"
    if not is_connected:
        happened = f"no connection was made{route}"
    ours = APIConnectionError(f"{what}: {happened}: {words}", sent=sent)
    ours.errno = getattr(error, "errno", None)
    return ours


def through(proxy: Proxy | None) -> str:
    """Return the words that name a proxy in an error."""
    return "" if proxy is None else f" through the proxy {proxy}"


def text_of_answer(
    response: aiohttp.ClientResponse | None,
    body: bytes,
    error: Exception | None,
    unreadable: bytes,
    redactor: Redactor,
) -> str | None:
    """Return what came of an answer that was not read to its end.

    ``body`` is what was read of it, ``unreadable`` what aiohttp could not read.
    """
    said = ""
    if response is not None:
        said = to_text(decoded(body + _unread(response.content), response, MOST_LOOKED_AT))
    elif isinstance(error, HttpProcessingError | aiohttp.ClientResponseError):
        said = f"{error.message}\n{to_text(unreadable)}".strip()
    elif isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str):
        said = str(error.message)  # the beginning of the headers
    return kept_answer(redactor.cut_text(said[:MOST_LOOKED_AT]), None)


def decoded(body: bytes, response: aiohttp.ClientResponse, longest: int) -> bytes:
    """Return a decoded body, or more than ``longest`` bytes of it if it is longer."""
    encodings = ", ".join(response.headers.getall("Content-Encoding", ()))
    return decompress(body, encodings, longest)


def _unread(content: Any) -> bytes:
    """Return what a broken stream has received and not handed out."""
    # Its exception would be raised instead. aiohttp has no other way to the bytes before the break.
    content._exception = content._waiter = None  # noqa: SLF001
    return bytes(content.read_nowait())
