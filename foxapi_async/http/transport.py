"""HTTP through aiohttp: the only module that catches exceptions of aiohttp.

Whether a POST was sent is observed, not guessed from the class of an exception: aiohttp asks the body
to write itself once the connection is established, and `_Body` records that moment. A server cannot
act on a POST without a byte of its body, so before that moment nothing was sent.
"""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from http.cookies import SimpleCookie
from importlib import import_module
from typing import Any, Final, NoReturn

import aiohttp
import anyio
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict
from yarl import URL

from foxapi_async._concurrency import WeightedLimiter
from foxapi_async.errors import (
    APIConnectionError,
    APITimeoutError,
    ConfigurationError,
    InvalidResponseError,
    SessionClosedError,
)
from foxapi_async.http.proxies import Proxies, Proxy
from foxapi_async.http.responses import Reply
from foxapi_async.models import without_queries
from foxapi_async.options import Timeout
from foxapi_async.version import __version__

MAX_BODY: Final = 64 * 1024 * 1024
"""The most bytes that are read of an answer, which may hold pictures."""

_SMALL_BODY: Final = 256 * 1024
"""The most bytes of an answer that needs no share of the memory for large ones."""

_MEMORY: Final = 128 * 1024 * 1024
"""Bytes for all large answers of a session together."""

_COPIES: Final = 2
"""A large answer is held as bytes and as the texts in it."""

_SLOWEST: Final = 1024 * 1024
"""Bytes per second at which a large answer is expected at least, beyond ``Timeout.request``."""

USER_AGENT: Final = (
    f"foxapi-async/{__version__} Python/{platform.python_version()} aiohttp/{aiohttp.__version__}"
)

_KEEPALIVE: Final = 15.0

_LATE: Final = (
    *("encodings.idna", "idna.uts46data", "encodings.utf_16", "encodings.utf_32"),
    *("encodings.utf_16_le", "encodings.utf_16_be", "encodings.utf_32_le", "encodings.utf_32_be"),
)
"""Modules that Python and yarl import when they first meet a host name, or JSON in another encoding. The package may be replaced on
disk while a session is open, or no descriptor may be left to read a module."""

_SHORTEST_SECRET: Final = 8

_FOREIGN: Final = (aiohttp.ClientError, OSError)
_QUOTES_URL: Final = (aiohttp.ClientResponseError, aiohttp.InvalidURL)
"""Their texts contain the whole URL, and the query of a result URL must not be logged."""

_NOT_SENT: Final = (
    *(aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL),
    aiohttp.ClientHttpProxyError,
)

_DIRECT: Final = URL()
"""As ``proxy=`` of a request it connects directly, although the session of the caller has a proxy."""

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
        proxies: Proxies | None = None,
    ) -> None:
        """Prepare for requests; without ``proxies`` those of ``http`` are used, if it has any."""
        self.base_url = base_url
        self._proxies = proxies
        self._proxy = None if proxies is None else proxies.for_url(base_url)
        self.timeout = timeout
        self._root = str(base_url).rstrip("/")
        self._prefix = base_url.raw_path.rstrip("/")
        self._key = api_key.encode()
        # Shorter keys, which are not real ones, may occur in an id or a URL by chance.
        self._is_secret = len(api_key) >= _SHORTEST_SECRET
        self._is_own = http is None
        self._http = http
        self._files: aiohttp.ClientSession | None = None
        self._is_closed = False
        self.memory: WeightedLimiter = WeightedLimiter(_MEMORY)
        self._headers = CIMultiDict({"User-Agent": USER_AGENT, "Accept": "application/json"})
        self._headers.update(headers)
        self._headers["Authorization"] = f"Bearer {api_key}"
        self._clock: Callable[[], float] = anyio.current_time
        self._api_options = self._route(self._proxy)
        if http is not None and (http.trust_env or http.auth is not None):
            # As a header of the call it would clash with the auth of that session, or with .netrc.
            authorization = self._headers.pop("Authorization")
            others = getattr(http, "_middlewares", ())
            self._api_options["middlewares"] = (*others, _authorizing(authorization))

    async def open(self) -> None:
        """Create the connection pool, unless one was given."""
        self._clock = asyncio.get_running_loop().time
        for module in _LATE:
            with suppress(ImportError):
                import_module(module)
        if self._http is None:
            self._http = aiohttp.ClientSession(
                # The session has its own limits. With a limit here, waiting for a free connection
                # would count as a slow connect.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE),
                cookie_jar=aiohttp.DummyCookieJar(),
                # aiohttp shows the default headers of a session, and so the key, to the proxy.
                headers=None if self._proxy else self._headers,
            )
            # The key is one of its default headers, so the hosts of result files share its
            # connections only.
            self._files = aiohttp.ClientSession(
                connector=self._http.connector,
                connector_owner=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        else:
            # With its proxy, traces and limits; `_without_secrets` keeps the rest off the requests.
            self._files = self._http

    async def aclose(self) -> None:
        """Close the connection pool, unless it was given."""
        self._is_closed = True
        if self._is_own and self._http is not None and self._files is not None:
            await self._files.close()
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
        body = None if json is None else _Body(json, on_sending)
        data = body if form is None else form
        began = self._clock()
        reply: Reply | None = None
        try:
            if patience is None:
                # aiohttp's own timer costs half as much as a cancel scope.
                limit = self.timeout.request if seconds is None else seconds
                try:
                    reply = await self._exchange(method, path, data, limit)
                except _LargeAnswer as large:
                    reply = await self._exchange_large(method, path, large.size)
            else:
                with patience:
                    reply = await self._exchange(method, path, data, None)
        except _FOREIGN as error:
            if type(error) is not TimeoutError or error.args:  # the total timer's has no text
                raise self._ours(error, what, body, self._proxy) from _cause(error)
        took = self._clock() - began
        if reply is None:
            sent = body is None or body.sending
            through = "" if sent else _through(self._proxy)
            raise APITimeoutError(f"{what}: no answer within {took:.3g} s{through}", sent=sent)
        _log.debug("%s: HTTP %s, %.3f s", what, reply.status, took)
        return reply

    @asynccontextmanager
    async def stream(
        self, url: URL, headers: Mapping[str, str]
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """Open a result file, without the API key; the caller reads it within the block."""
        proxy = None if self._proxies is None else self._proxies.for_url(url)
        timeout = aiohttp.ClientTimeout(
            total=None,
            # The answer of a proxy to CONNECT has no other time limit.
            connect=self.timeout.request if proxy is not None else None,
            sock_connect=self.timeout.connect,
            sock_read=self.timeout.stall,
        )
        what = f"GET {url.with_query(None)}"
        given = {
            "Host": url.host_port_subcomponent or "",
            "User-Agent": USER_AGENT,
            "Accept": "*/*",
            # The length can be compared with the bytes on disk only without compression.
            "Accept-Encoding": "identity",
            **headers,
        }
        try:
            response = None
            # Headers may drip in, too. In a session of the caller connections may be scarce as well.
            limit = self.timeout.connect + self.timeout.stall
            with anyio.move_on_after(limit if self._is_own else self.timeout.request):
                response = await self._usable(self._files).get(
                    url,
                    headers=given,
                    middlewares=(_without_secrets(given),),
                    allow_redirects=False,
                    raise_for_status=False,
                    auto_decompress=True,
                    timeout=timeout,
                    **self._route(proxy),
                )
            if response is None:
                raise TimeoutError("the headers of the answer did not arrive in time")
            async with response:
                _log.debug("%s: HTTP %s", what, response.status)
                yield response
        except _FOREIGN as error:
            raise self._ours(error, what, None, proxy) from _cause(error)

    def _route(self, proxy: Proxy | None) -> dict[str, Any]:
        """Return the arguments with which aiohttp sends a request through a proxy, or directly."""
        if proxy is None:
            # The session of the caller may have a proxy, which this one overrides.
            return {} if self._is_own or self._proxies is None else {"proxy": _DIRECT}
        authorization = proxy.authorization()
        headers = None if authorization is None else {"Proxy-Authorization": authorization}
        return {"proxy": proxy.url, "proxy_headers": headers}

    def _usable(self, http: aiohttp.ClientSession | None) -> aiohttp.ClientSession:
        if self._is_closed:
            raise SessionClosedError("the session has ended; open a new one")
        if http is None or http.closed:
            raise ConfigurationError(
                "the aiohttp.ClientSession of this session is closed; keep it open until the "
                "session ends"
            )
        return http

    async def _exchange(
        self, method: str, path: str, data: Any, seconds: float | None, *, held: int = 0
    ) -> Reply:
        async with self._usable(self._http).request(
            method,
            self._url(path),
            data=data,
            headers=None if self._is_own and self._proxy is None else self._headers,
            # On a 307 aiohttp would repeat the POST, with the key, at another address.
            allow_redirects=False,
            raise_for_status=False,
            timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=self.timeout.connect),
            **self._api_options,
        ) as response:
            headers = response.headers
            body, held = await self._read(response, f"{method} {path}", held)
            return Reply(
                response.status,
                body,
                retry_after=headers.get("Retry-After"),
                date=headers.get("Date"),
                request_id=headers.get("X-Request-Id"),
                held=held,
            )

    async def _exchange_large(self, method: str, path: str, size: int) -> Reply:
        """Ask again for an answer that turned out to be large, once there is memory for it.

        The first attempt is given up, because it would hold its part while it waits, and the time
        limit of a poll is too short for so many bytes.
        """
        held = await self.memory.acquire(_COPIES * size)
        seconds = self.timeout.request + size / _SLOWEST
        try:
            return await self._exchange(method, path, None, seconds, held=held)
        except BaseException:
            self.memory.release(held)
            raise

    def _url(self, path: str) -> URL:
        if "?" in path:
            return URL(f"{self._root}{path}", encoded=True)
        return self.base_url.with_path(f"{self._prefix}{path}", encoded=True)  # does not parse

    async def _read(
        self, response: aiohttp.ClientResponse, what: str, held: int
    ) -> tuple[bytes, int]:
        content = response.content
        chunks = bytearray()
        acquired = 0
        try:
            while not content.at_eof():  # usually one chunk
                chunks += await content.readany()
                if len(chunks) > _SMALL_BODY and not held:
                    held = acquired = await self._make_room(response)
                if len(chunks) > MAX_BODY:
                    _refuse(response, what)
        except BaseException:
            self.memory.release(acquired)
            raise
        # A server may quote the key ("incorrect key sk-…"), and answers end up in errors, logs and
        # events.
        body = bytes(chunks)
        return (body.replace(self._key, b"[API key]") if self._is_secret else body), held

    async def _make_room(self, response: aiohttp.ClientResponse) -> int:
        size = response.content_length
        if size is None or size > MAX_BODY or "Content-Encoding" in response.headers:
            size = MAX_BODY
        if response.method == "GET":
            response.close()
            raise _LargeAnswer(size)
        # A POST cannot be asked again, and its time limit is running.
        with anyio.move_on_after(self.timeout.request / 4):
            return await self.memory.acquire(_COPIES * size)
        return self.memory.occupy(_COPIES * size)

    def _ours(
        self, error: Exception, what: str, body: _Body | None, proxy: Proxy | None
    ) -> APIConnectionError:
        sent = _may_have_left(error) if body is None else body.sending
        if isinstance(error, _QUOTES_URL):
            said = getattr(error, "message", "it is not a URL").partition("\n")[0].rstrip(":")
        else:
            said = without_queries(str(error))
        if isinstance(error, aiohttp.ClientHttpProxyError):
            said = f"it answered HTTP {error.status} {said}"
        words = said.replace(self._key.decode(), "[API key]") or type(error).__name__
        if isinstance(error, TimeoutError):
            return APITimeoutError(f"{what}: {words}{'' if sent else _through(proxy)}", sent=sent)
        happened = "the connection broke" if sent else f"no connection was made{_through(proxy)}"
        ours = APIConnectionError(f"{what}: {happened}: {words}", sent=sent)
        ours.errno = getattr(error, "errno", None)
        return ours


class _LargeAnswer(Exception):  # noqa: N818 - not an error, and it never leaves this module
    """The answer to a GET is larger than `_SMALL_BODY`: at most ``size`` bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def _refuse(response: aiohttp.ClientResponse, what: str) -> NoReturn:
    response.close()
    raise InvalidResponseError(
        f"{what}: the answer is larger than {MAX_BODY} bytes", status=response.status
    )


def _without_secrets(allowed: Mapping[str, str]) -> aiohttp.ClientMiddlewareType:
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


class _Body(aiohttp.BytesPayload):
    """A JSON body that records when its first byte is about to be written."""

    def __init__(self, value: bytes, on_sending: Callable[[], None] | None) -> None:
        super().__init__(value, content_type="application/json")
        self.sending = False
        self._on_sending = on_sending

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        if not self.sending:
            connection = getattr(writer, "transport", None)
            if connection is not None and connection.is_closing():
                # The server has just closed this kept-alive connection; no byte can be written.
                raise ConnectionResetError("the connection was closed before the request")
            if self._on_sending is not None:
                self._on_sending()
            self.sending = True
        await super().write_with_length(writer, content_length)


def _authorizing(authorization: str) -> aiohttp.ClientMiddlewareType:
    async def authorize(
        request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        request.headers["Authorization"] = authorization
        return await send(request)

    return authorize


def _through(proxy: Proxy | None) -> str:
    return "" if proxy is None else f" through the proxy {proxy}"


def _cause(error: Exception) -> BaseException | None:
    return error.__cause__ if isinstance(error, _QUOTES_URL) else error


def _may_have_left(error: Exception) -> bool:
    return not isinstance(error, _NOT_SENT)
