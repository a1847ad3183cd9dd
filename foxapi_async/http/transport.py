"""HTTP through aiohttp: the only module that catches exceptions of aiohttp.

Whether a POST was sent is observed, not guessed from the class of an exception: aiohttp asks the body
to write itself once the connection is established, and `_Body` records that moment. A server cannot
act on a POST without a byte of its body, so before that moment nothing was sent. What arrives on a
connection before that moment is no answer to it (`_Start`, `_Connector`).
"""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import anyio
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from foxapi_async.errors import (
    APIConnectionError,
    APITimeoutError,
    ConfigurationError,
    InvalidResponseError,
)
from foxapi_async.http.codec import kept_text, one_line, to_text
from foxapi_async.http.compression import ACCEPTED, decompress
from foxapi_async.http.redaction import Redactor
from foxapi_async.http.responses import Reply
from foxapi_async.options import Timeout
from foxapi_async.version import __version__

MAX_BODY: Final = 8 * 1024 * 1024
"""The most bytes that are read of an answer."""

_MOST_SAID: Final = 64 * 1024
"""The most characters that are looked at of an answer that was not read to its end."""

USER_AGENT: Final = (
    f"foxapi-async/{__version__} Python/{platform.python_version()} aiohttp/{aiohttp.__version__}"
)

_KEEPALIVE: Final = 15.0

_LONGEST_HEADER: Final = 65 * 1024
"""Bytes of one header line; aiohttp reads 8,190 by default and discards the whole answer otherwise."""

_FOREIGN: Final = (aiohttp.ClientError, HttpProcessingError, OSError)
_QUOTES_URL: Final = (aiohttp.ClientResponseError, aiohttp.InvalidURL)
"""Their texts contain the whole URL, and the query of a result URL must not be logged."""

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
        self._is_own = http is None
        self._http = http
        self._files: aiohttp.ClientSession | None = None
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
                connector=_Connector(limit=0, keepalive_timeout=_KEEPALIVE),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
            )
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
        start, data = _Start(on_sending), None
        if json is not None:
            data = _Body(json, start)
        elif form is not None:
            data = start.of(form())
        began = self._clock()
        got, failure = _Received(), None
        try:
            if patience is None:
                # Not aiohttp's timer: its streams use the timer of the request for which they were
                # made, so it does not end the wait for a body that an earlier request has left.
                async with asyncio.timeout(self.timeout.request if seconds is None else seconds):
                    await self._exchange(method, path, data, start, got)
            else:
                with patience:
                    await self._exchange(method, path, data, start, got)
        except _FOREIGN as error:
            if type(error) is not TimeoutError or error.args:  # the timeout's has no text
                failure = self._failure(error, what, None if data is None else start.sending)
                got.error = error
        took = self._clock() - began
        if failure is None and not got.is_complete:
            failure = APITimeoutError(
                f"{what}: no answer within {took:.3g} s", sent=data is None or start.sending
            )
        if failure is not None:
            # Here, where no exception is being handled: those of aiohttp hold the request's headers,
            # and a `__cause__` or `__context__` would lead to them.
            if data is not None:
                failure.response = self._said(got)
            raise failure
        reply = self._reply(got, what)
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
        except _FOREIGN as error:
            failure = self._failure(error, what, None)
        if failure is not None:
            raise failure

    async def _exchange(
        self, method: str, path: str, data: aiohttp.Payload | None, start: _Start, got: _Received
    ) -> None:
        """Send a request and read the answer into ``got``, as far as it comes."""
        http = _usable(self._http)
        async with http.request(
            method,
            self._url(path),
            data=data,
            headers=None if self._is_own else self._headers,
            # On a 307 aiohttp would repeat the POST, with the key, at another address.
            allow_redirects=False,
            raise_for_status=False,
            auto_decompress=False,
            max_line_size=_longest(http, "_max_line_size"),
            max_field_size=_longest(http, "_max_field_size"),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.timeout.connect),
        ) as response:
            if data is not None and not start.sending:
                start.is_refused = True
                response.close()
                raise _early()
            got.response = response
            content = response.content
            while not content.at_eof():  # usually one chunk
                got.body += await content.readany()
                if len(got.body) > MAX_BODY:
                    response.close()
                    break
            got.is_complete = True

    def _url(self, path: str) -> URL:
        if "?" in path:
            return URL(f"{self._root}{path}", encoded=True)
        return self.base_url.with_path(f"{self._prefix}{path}", encoded=True)  # does not parse

    def _reply(self, got: _Received, what: str) -> Reply:
        assert got.response is not None
        status, headers = got.response.status, got.response.headers
        body = self._decoded(got)
        if len(body) > MAX_BODY:
            error = InvalidResponseError(
                f"{what}: the answer is larger than {MAX_BODY} bytes", status=status
            )
            error.response = self._said(got)
            raise error
        text = self._header
        return Reply(
            status,
            # A server may quote the key, and answers end up in errors, logs and events.
            self._redactor.body(body),
            retry_after=text(headers.get("Retry-After")),
            date=text(headers.get("Date")),
            request_id=text(headers.get("X-Request-Id")),
            location=text(headers.get("Location")),
        )

    def _header(self, value: str | None) -> str | None:
        return None if value is None else one_line(self._redactor.text(value))

    def _decoded(self, got: _Received) -> bytes:
        assert got.response is not None
        encodings = ", ".join(got.response.headers.getall("Content-Encoding", ()))
        body = bytes(got.body)
        return decompress(body, encodings, MAX_BODY) if encodings else body

    def _said(self, got: _Received) -> str | None:
        """Return what came of an answer that was not read to its end."""
        if got.response is not None:
            if not got.is_complete:
                got.body += _unread(got.response.content)
            said = to_text(self._decoded(got)[: 2 * _MOST_SAID])
        elif isinstance(got.error, HttpProcessingError | aiohttp.ClientResponseError):
            said = got.error.message
        elif isinstance(got.error, aiohttp.ServerDisconnectedError):
            begun = got.error.message  # the beginning of a response, or a text of aiohttp
            said = "" if isinstance(begun, str) else str(begun)
        else:
            said = ""
        return kept_text(self._redactor.cut_text(said[:_MOST_SAID]))

    def _failure(self, error: Exception, what: str, sending: bool | None) -> APIConnectionError:
        """Return the error of ours for one of aiohttp; ``sending`` is None for a request without a body."""
        sent = _may_have_left(error) if sending is None else sending
        if isinstance(error, _QUOTES_URL):
            said = getattr(error, "message", "it is not a URL").partition("\n")[0].rstrip(":")
        else:
            said = str(error)
        words = one_line(self._redactor.text(said)) or type(error).__name__
        if isinstance(error, TimeoutError):
            return APITimeoutError(f"{what}: {words}", sent=sent)
        happened = "the connection broke" if sent else "nothing was sent"
        if not _may_have_left(error):
            happened = "no connection was made"
        return APIConnectionError(f"{what}: {happened}: {words}", sent=sent)


def _usable(http: aiohttp.ClientSession | None) -> aiohttp.ClientSession:
    if http is None or http.closed:
        raise ConfigurationError(
            "the aiohttp.ClientSession of this session is closed; keep it open until the session ends"
        )
    return http


class _Received:
    """What has come of an answer so far."""

    def __init__(self) -> None:
        self.response: aiohttp.ClientResponse | None = None
        self.body = bytearray()
        self.is_complete = False
        self.error: Exception | None = None


class _Start:
    """Records when the first byte of a body is about to be written."""

    def __init__(self, on_sending: Callable[[], None] | None) -> None:
        self.sending = False
        self.is_refused = False
        """Whether an answer was there before; the body must not be written any more."""
        self._on_sending = on_sending

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
        if self.is_refused or getattr(getattr(writer, "protocol", None), "should_close", False):
            raise _early()
        if self._on_sending is not None:
            self._on_sending()
        self.sending = True

    def of(self, payload: aiohttp.Payload) -> aiohttp.Payload:
        """Return a payload that calls `begin` before it is written."""
        write = payload.write_with_length

        async def write_with_length(writer: AbstractStreamWriter, length: int | None) -> None:
            await self.begin(writer)
            await write(writer, length)

        payload.write_with_length = write_with_length  # type: ignore[method-assign]
        return payload


class _Body(aiohttp.BytesPayload):
    """A JSON body that records its start."""

    def __init__(self, value: bytes, start: _Start) -> None:
        super().__init__(value, content_type="application/json")
        self._start = start

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        await self._start.begin(writer)
        await super().write_with_length(writer, content_length)


class _Connector(aiohttp.TCPConnector):
    """Closes a kept-alive connection on which something has arrived that nobody asked for.

    aiohttp would take it for the answer to the next request, or that answer for its rest.
    """

    async def connect(self, *args: Any, **options: Any) -> aiohttp.connector.Connection:
        while True:
            connection = await super().connect(*args, **options)
            protocol = connection.protocol
            if protocol is None or not (protocol.should_close or _is_amid_headers(protocol)):
                return connection
            connection.close()


def _is_amid_headers(protocol: Any) -> bool:
    """Return whether the parser of the last response has already read a part of another one."""
    parser = getattr(protocol, "_parser", None)
    if parser is None:
        return False
    if getattr(parser, "_tail", b"") or getattr(parser, "_lines", ()):  # the parser in Python
        return True
    try:
        return parser.feed_eof() is not None
    except Exception:  # noqa: BLE001 - it has read a part that it does not understand
        return True


def _unread(content: aiohttp.StreamReader) -> bytes:
    """Return what a broken stream has received and not handed out."""
    # Its exception would be raised instead. aiohttp has no other way to the bytes before the break.
    content._exception = None  # noqa: SLF001
    content._waiter = None  # noqa: SLF001
    return content.read_nowait()


def _longest(http: aiohttp.ClientSession, name: str) -> int:
    # The caller's own session may allow more.
    return max(_LONGEST_HEADER, getattr(http, name, 0))


def _early() -> ConnectionResetError:
    return ConnectionResetError("an answer was there before the request was sent")


def _may_have_left(error: Exception) -> bool:
    return not isinstance(
        error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.InvalidURL
    )
