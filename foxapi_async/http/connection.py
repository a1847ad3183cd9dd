"""One connection of aiohttp: what is sent on it, and what of aiohttp's must be stricter.

Whether a POST was sent is observed, not guessed from the class of an exception: aiohttp asks the body
to write itself once the connection is established, and `HttpExchange` records that moment. A server
cannot act on a POST without a byte of its body, so before that moment nothing was sent, and what has
arrived by then is not the answer to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from http.cookies import SimpleCookie
from importlib import import_module
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict

from foxapi_async.http.failures import MOST_KEPT, text_of_answer
from foxapi_async.http.redaction import Redactor

_LATE: Final = (
    *(
        "encodings.idna",
        "encodings.punycode",
        "idna.uts46data",
        "foxapi_async._to_json",
        "encodings.utf_16",
        "encodings.utf_32",
    ),
    *("encodings.utf_16_le", "encodings.utf_16_be", "encodings.utf_32_le", "encodings.utf_32_be"),
)
"""Modules that Python and yarl import when they first meet a host name, or JSON in another encoding,
and values when ``to_dict()`` is first called. The package may be replaced on disk while a session is
open, or no descriptor may be left to read a module."""


def load_late_modules() -> None:
    """Import what would otherwise be imported during a request."""
    for module in _LATE:
        with suppress(ImportError):
            import_module(module)


class HttpExchange:
    """One request and what has come of its answer.

    ``sending`` is true from the moment when the first byte of the body is about to be written.
    """

    def __init__(self, on_sending: Callable[[], None] | None) -> None:
        self.sending: bool = False
        self.is_refused = False
        """Whether an answer was there before; the body must not be written any more."""
        self.response: aiohttp.ClientResponse | None = None
        self.body: bytearray = bytearray()
        self.is_complete = False
        self.error: Exception | None = None
        self.held = 0
        """Memory that a large body has acquired; the receiver of the answer releases it."""
        self.size_to_come = 0
        """Bytes that the answer may have, if it was given up because there must be memory for it first."""
        self._on_sending = on_sending
        self._protocol: Any = None

    def said(self, redactor: Redactor) -> str | None:
        """Return what came of an answer that was not read to its end."""
        unreadable = getattr(self._protocol, "unreadable", b"")
        return text_of_answer(self.response, bytes(self.body), self.error, unreadable, redactor)

    async def begin(self, writer: AbstractStreamWriter) -> None:
        """Check the connection; raise if nothing may be written to it."""
        if self.sending:
            return
        # In these turns the event loop reads what has already arrived.
        for _ in range(2):
            await asyncio.sleep(0)
        connection = getattr(writer, "transport", None)
        if connection is not None and connection.is_closing():
            # The server has just closed this kept-alive connection; no byte can be written.
            raise ConnectionResetError("the connection was closed before the request")
        self._protocol = getattr(writer, "protocol", None)
        if self.is_refused or getattr(self._protocol, "should_close", False):
            raise early_answer()
        if self._on_sending is not None:
            self._on_sending()
        self.sending = True

    def watch(self, payload: aiohttp.Payload) -> aiohttp.Payload:
        """Return a payload that calls `begin` before it is written."""
        write = payload.write_with_length

        async def write_with_length(writer: AbstractStreamWriter, length: int | None) -> None:
            await self.begin(writer)
            await write(writer, length)

        setattr(payload, "write_with_length", write_with_length)  # noqa: B010 - of this one payload
        return payload


class CleanConnector(aiohttp.TCPConnector):
    """Closes a kept-alive connection on which bytes have arrived without a request.

    aiohttp would take it for the answer to the next request, or that answer for its rest.
    """

    def __init__(self, *, limit: int, keepalive_timeout: float) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType] - of aiohttp
            limit=limit, keepalive_timeout=keepalive_timeout
        )
        self._factory: Any = partial(_Protocol, loop=self._loop)

    async def connect(self, *args: Any, **options: Any) -> aiohttp.connector.Connection:
        """Return a connection on which nothing waits to be read."""
        while True:
            connection = await super().connect(*args, **options)
            protocol: Any = connection.protocol
            parser = getattr(protocol, "_parser", None)  # that of the last response
            if parser is None or not (protocol.should_close or _is_amid_headers(parser)):
                return connection
            connection.close()


class _Protocol(ResponseHandler):
    """Keeps bytes that aiohttp cannot read and would discard: they may hold the id of a paid task."""

    unreadable = b""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if isinstance(self.exception(), HttpProcessingError):
            self.unreadable = (self.unreadable + data)[:MOST_KEPT]


def _is_amid_headers(parser: Any) -> bool:
    if getattr(parser, "_tail", b"") or getattr(parser, "_lines", ()):  # the parser in Python
        return True
    try:
        return parser.feed_eof() is not None
    except Exception:  # noqa: BLE001 - it has read a part that it does not understand
        return True


def early_answer() -> ConnectionResetError:
    """Return the error for a connection that has an answer before the request was sent."""
    return ConnectionResetError("an answer was there before the request was sent")


def without_secrets(allowed: Mapping[str, str]) -> aiohttp.ClientMiddlewareType:
    """Return a middleware that sends only these headers, and keeps no cookies of the answer.

    aiohttp adds the default headers, the cookies and the ``auth`` of a session, and what .netrc says, before
    it calls the middlewares of a request. Those of the session, which may add more, are not called.
    """
    names = {name.lower() for name in allowed}

    async def middleware(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        for name in {name for name in request.headers if name.lower() not in names}:
            request.headers.popall(name)
        response = await handler(request)
        response.cookies = SimpleCookie()
        return response

    return middleware


def with_proxy_headers(headers: Mapping[str, str] | None) -> aiohttp.ClientMiddlewareType:
    """Return a middleware that sends only these headers to a proxy that the caller's session does not know.

    aiohttp adds the default headers of that session, and its ``Authorization`` in the place of ours.
    """

    async def middleware(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        request.proxy_headers = CIMultiDict(headers or {})
        return await handler(request)

    return middleware


def authorizing(authorization: str) -> aiohttp.ClientMiddlewareType:
    """Return a middleware that sends this header, whatever the session or ``.netrc`` says."""

    async def authorize(
        request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        request.headers["Authorization"] = authorization
        return await send(request)

    return authorize
