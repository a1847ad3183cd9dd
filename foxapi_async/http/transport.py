"""HTTP through aiohttp: the only module that catches exceptions of aiohttp.

Whether a POST was sent is observed, not guessed from the class of an exception: aiohttp asks the body
to write itself once the connection is established, and `HttpExchange` records that moment. A server
cannot act on a POST without a byte of its body, so before that moment nothing was sent, and what has
arrived by then is not the answer to it.
"""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import aiohttp
import anyio
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from foxapi_async.errors import (
    APITimeoutError,
    ConfigurationError,
    InvalidResponseError,
)
from foxapi_async.http.codec import one_line, to_text
from foxapi_async.http.compression import ACCEPTED
from foxapi_async.http.failures import FOREIGN, MOST_KEPT, decoded, failure_of, text_of_answer
from foxapi_async.http.redaction import Redactor
from foxapi_async.http.responses import Reply
from foxapi_async.options import Timeout
from foxapi_async.version import __version__

MAX_BODY: Final = 8 * 1024 * 1024
"""The most bytes that are read of an answer."""

USER_AGENT: Final = (
    f"foxapi-async/{__version__} Python/{platform.python_version()} aiohttp/{aiohttp.__version__}"
)

_KEEPALIVE: Final = 15.0

_LONGEST_HEADER: Final = 65 * 1024
"""Bytes of one header line; aiohttp reads 8,190 by default and discards the whole answer otherwise."""

_log = logging.getLogger("foxapi_async.http")


class Transport:
    """Sends requests with the API key, and turns exceptions of aiohttp into errors of the package."""

    def __init__(
        self,
        base_url: URL,
        api_key: str,
        *,
        timeout: Timeout,
        headers: Mapping[str, str],
        http: aiohttp.ClientSession | None,
    ) -> None:
        self.base_url = base_url
        self.timeout = timeout
        self._root = str(base_url).rstrip("/")
        self._prefix = base_url.raw_path.rstrip("/")
        self._redactor = Redactor(api_key)
        self._key = api_key.encode()
        self._escape_of_key = self._redactor.escape.search
        self._is_own = http is None
        self._http = http
        self._files: aiohttp.ClientSession | None = None
        self._longest_line = self._longest_header = _LONGEST_HEADER
        self._headers = CIMultiDict(
            {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": ACCEPTED}
        )
        self._headers.update(headers)
        self._headers["Authorization"] = f"Bearer {api_key}"
        self._clock: Callable[[], float] = anyio.current_time

    async def open(self) -> None:
        """Create the connection pool, unless one was given."""
        self._clock = asyncio.get_running_loop().time
        if self._http is None:
            self._http = aiohttp.ClientSession(
                # The session has its own limits. With a limit here, waiting for a free connection
                # would count as a slow connect.
                connector=CleanConnector(limit=0, keepalive_timeout=_KEEPALIVE),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
            )
        # The caller's own session may allow more.
        self._longest_line = max(_LONGEST_HEADER, getattr(self._http, "_max_line_size", 0))
        self._longest_header = max(_LONGEST_HEADER, getattr(self._http, "_max_field_size", 0))
        if not self._http.closed:
            # The default headers and cookies of the other one are secrets, so the hosts of result
            # files share its connections only.
            self._files = aiohttp.ClientSession(
                connector=self._http.connector,
                connector_owner=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=self._http.trust_env,
            )

    async def aclose(self) -> None:
        """Close the connection pool, unless it was given."""
        if self._files is not None:
            await self._files.close()
        if self._is_own and self._http is not None:
            await self._http.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: bytes | None = None,
        form: aiohttp.FormData | None = None,
        on_sending: Callable[[], None] | None = None,
        seconds: float | None = None,
        patience: anyio.CancelScope | None = None,
    ) -> Reply:
        """Send one request to the API and read the whole answer.

        ``path`` is percent-encoded and includes the query. ``on_sending`` is called right before the
        first byte of the JSON body is written. ``seconds`` is the time limit, ``Timeout.request`` by
        default; ``patience`` is a scope that replaces it and whose deadline may be moved.

        Raises:
            APIConnectionError: No connection, or it broke or timed out; ``sent`` tells which.
            InvalidResponseError: The answer is larger than `MAX_BODY`.
        """
        what = f"{method} {path.partition('?')[0]}"
        exchange = HttpExchange(on_sending)
        data: aiohttp.Payload | None = None
        if json is not None:
            data = exchange.watch(aiohttp.BytesPayload(json, content_type="application/json"))
        elif form is not None:
            data = exchange.watch(form())
        began = self._clock()
        failure = None
        try:
            if patience is None:
                # Not aiohttp's timer: its streams use the timer of the request for which they were
                # made, so it does not end the wait for a body that an earlier request has left.
                async with asyncio.timeout(self.timeout.request if seconds is None else seconds):
                    await self._exchange(method, path, data, exchange)
            else:
                with patience:
                    await self._exchange(method, path, data, exchange)
        except FOREIGN as error:
            sent = exchange.sending if data is not None else None
            if type(error) is not TimeoutError or error.args:  # the timeout's has no text
                failure = failure_of(error, what, self._redactor, sent=sent)
                exchange.error = error
        took = self._clock() - began
        if failure is None and not exchange.is_complete:
            failure = APITimeoutError(
                f"{what}: no answer within {took:.3g} s", sent=data is None or exchange.sending
            )
        if failure is not None:
            # Here, where no exception is being handled: those of aiohttp hold the request's headers,
            # and a `__cause__` or `__context__` would lead to them.
            if data is not None:
                failure.response = self._said(exchange)
            raise failure
        reply = self._reply(exchange, what)
        _log.debug("%s: HTTP %s, %.3f s", what, reply.status, took)
        return reply

    @asynccontextmanager
    async def stream(
        self, url: URL, headers: Mapping[str, str]
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """Open a result file, without the API key; the caller reads it within the block."""
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self.timeout.connect, sock_read=self.timeout.stall
        )
        what = f"GET {url.with_query(None)}"
        failure = None
        try:
            async with _usable(self._files).get(
                url,
                # The length can be compared with the bytes on disk only without compression.
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers},
                allow_redirects=False,
                raise_for_status=False,
                timeout=timeout,
            ) as response:
                _log.debug("%s: HTTP %s", what, response.status)
                yield response
        except FOREIGN as error:
            failure = failure_of(error, what, self._redactor)
        if failure is not None:
            raise failure

    async def _exchange(
        self,
        method: str,
        path: str,
        data: aiohttp.Payload | None,
        exchange: HttpExchange,
    ) -> None:
        """Send a request and read the answer, as far as it comes."""
        async with _usable(self._http).request(
            method,
            self._url(path),
            data=data,
            headers=None if self._is_own else self._headers,
            # On a 307 aiohttp would repeat the POST, with the key, at another address.
            allow_redirects=False,
            raise_for_status=False,
            auto_decompress=False,
            max_line_size=self._longest_line,
            max_field_size=self._longest_header,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.timeout.connect),
        ) as response:
            if data is not None and not exchange.sending:
                exchange.is_refused = True
                response.close()
                raise _early_answer()
            exchange.response = response
            content = response.content
            while not content.at_eof():  # usually one chunk
                exchange.body += await content.readany()
                if len(exchange.body) > MAX_BODY:
                    response.close()
                    break
            exchange.is_complete = True

    def _url(self, path: str) -> URL:
        if "?" in path:
            return URL(f"{self._root}{path}", encoded=True)
        return self.base_url.with_path(f"{self._prefix}{path}", encoded=True)  # does not parse

    def _reply(self, exchange: HttpExchange, what: str) -> Reply:
        assert exchange.response is not None
        status, headers = exchange.response.status, exchange.response.headers
        body = bytes(exchange.body)
        if "Content-Encoding" in headers:
            body = decoded(body, exchange.response, MAX_BODY)
        if len(body) > MAX_BODY:
            error = InvalidResponseError(
                f"{what}: the answer is larger than {MAX_BODY} bytes", status=status
            )
            error.response = self._said(exchange)
            raise error
        # A server may quote the key, and answers end up in errors, logs and events.
        if (
            self._key in body
            or b"\0" in body
            or ((b"%" in body or b"\\" in body or b"&" in body) and self._escape_of_key(body))
        ):
            body = self._redactor.text(to_text(body)).encode("utf-8", "surrogatepass")
        request_id, location = headers.get("X-Request-Id"), headers.get("Location")
        return Reply(
            status,
            body,
            retry_after=headers.get("Retry-After"),
            date=headers.get("Date"),
            request_id=request_id and one_line(self._redactor.text(request_id)),
            location=location and one_line(self._redactor.text(location)),
        )

    def _said(self, exchange: HttpExchange) -> str | None:
        return text_of_answer(
            exchange.response,
            bytes(exchange.body),
            exchange.error,
            exchange.unreadable(),
            self._redactor,
        )


def _usable(http: aiohttp.ClientSession | None) -> aiohttp.ClientSession:
    if http is None or http.closed:
        raise ConfigurationError(
            "the aiohttp.ClientSession of this session is closed; keep it open until the session ends"
        )
    return http


class HttpExchange:
    """One request and what has come of its answer.

    ``sending`` is true from the moment when the first byte of the body is about to be written.
    """

    def __init__(self, on_sending: Callable[[], None] | None) -> None:
        self.sending = False
        self.is_refused = False
        """Whether an answer was there before; the body must not be written any more."""
        self.response: aiohttp.ClientResponse | None = None
        self.body = bytearray()
        self.is_complete = False
        self.error: Exception | None = None
        self._on_sending = on_sending
        self._protocol: Any = None

    def unreadable(self) -> bytes:
        """Return what came of an answer that aiohttp could not read."""
        return getattr(self._protocol, "unreadable", b"")

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
            raise _early_answer()
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
    """Closes a kept-alive connection on which something has arrived that nobody asked for.

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


def _early_answer() -> ConnectionResetError:
    """Return the error for a connection that has an answer before the request was sent."""
    return ConnectionResetError("an answer was there before the request was sent")
