"""HTTP through aiohttp: requests with the API key, and what comes back."""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import anyio
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
from foxapi_async.http.codec import one_line, to_text
from foxapi_async.http.compression import ACCEPTED
from foxapi_async.http.connection import (
    CleanConnector,
    HttpExchange,
    authorizing,
    early_answer,
    load_late_modules,
    with_proxy_headers,
    without_secrets,
)
from foxapi_async.http.failures import FOREIGN, decoded, failure_of, through
from foxapi_async.http.proxies import Proxies, Proxy
from foxapi_async.http.raw import OnResponse, tell
from foxapi_async.http.redaction import Redactor
from foxapi_async.http.responses import Reply
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

_BOUNDS: Final = {"max_line_size": 65 * 1024, "max_field_size": 65 * 1024, "max_headers": 1024}
"""Bytes of a header line, and their number. aiohttp discards answers with longer ones, 8,190 by
default, or with more, 128 by default."""

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
        self._redactor = Redactor(api_key)
        self.redacted: Callable[[str], str] = self._redactor.text
        self._key = api_key.encode()
        self._escape_of_key = self._redactor.escape.search
        self._is_own = http is None
        self._http = http
        self._files: aiohttp.ClientSession | None = None
        self._is_closed = False
        self.on_response: OnResponse | None = None
        self.memory: WeightedLimiter = WeightedLimiter(_MEMORY)
        self._bounds: dict[str, Any] = {}
        self._options: dict[str, Any] = {}  # of every request to the API
        self._headers = CIMultiDict(
            {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": ACCEPTED}
        )
        self._headers.update(headers)
        self._headers["Authorization"] = f"Bearer {api_key}"
        self._clock: Callable[[], float] = anyio.current_time
        self._api_options = self._route(self._proxy)
        # In addition to those of the caller's session, which one of a call would replace.
        added: list[aiohttp.ClientMiddlewareType] = []
        if http is not None and (http.trust_env or http.auth is not None):
            # As a header of the call it would clash with the auth of that session, or with .netrc.
            added.append(authorizing(self._headers.pop("Authorization")))
        if http is not None and self._proxy is not None:
            added.append(with_proxy_headers(self._api_options["proxy_headers"]))
        if added:
            self._api_options["middlewares"] = (*getattr(http, "_middlewares", ()), *added)

    async def open(self) -> None:
        """Create the connection pool, unless one was given."""
        self._clock = asyncio.get_running_loop().time
        load_late_modules()
        if self._http is None:
            self._http = aiohttp.ClientSession(
                # The session has its own limits. With a limit here, waiting for a free connection
                # would count as a slow connect.
                connector=CleanConnector(limit=0, keepalive_timeout=_KEEPALIVE),
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
            # With its proxy, traces and limits; `without_secrets` keeps the rest off the requests.
            self._files = self._http
        for name, most in _BOUNDS.items():
            # The caller's own session may allow more.
            if (given := getattr(self._http, f"_{name}", None)) is not None:
                self._bounds[name] = max(most, given)
        self._options = {
            "headers": None if self._is_own and self._proxy is None else self._headers,
            # On a 307 aiohttp would repeat the POST, with the key, at another address.
            "allow_redirects": False,
            "raise_for_status": False,
            "auto_decompress": False,
            "timeout": aiohttp.ClientTimeout(total=None, sock_connect=self.timeout.connect),
            **self._bounds,
            **self._api_options,
        }

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
        exchange = HttpExchange(on_sending)
        data: aiohttp.Payload | None = None
        if json is not None:
            data = exchange.watch(aiohttp.BytesPayload(json, content_type="application/json"))
        elif form is not None:
            data = exchange.watch(form())
        limit = self.timeout.request if seconds is None else seconds
        began = self._clock()
        try:
            failure = await self._attempt(method, path, data, exchange, patience or limit)
            if exchange.size_to_come:
                limit = self.timeout.request + exchange.size_to_come / _SLOWEST
                exchange = await self._once_there_is_memory(exchange.size_to_come)
                failure = await self._attempt(method, path, None, exchange, limit)
            took = self._clock() - began
            if failure is None and not exchange.is_complete:
                sent = data is None or exchange.sending
                route = "" if sent else through(self._proxy)
                failure = APITimeoutError(
                    f"{what}: no answer within {took:.3g} s{route}", sent=sent
                )
            reply = self._reply(exchange, what) if failure is None else None
        except BaseException:
            self.memory.release(exchange.held)
            raise
        if failure is not None:
            # Here, where no exception is being handled: those of aiohttp hold the request's headers,
            # and a `__cause__` or `__context__` would lead to them.
            self.memory.release(exchange.held)
            if data is not None:
                failure.response = exchange.said(self._redactor)
            raise failure
        assert reply is not None
        if self.on_response is not None and exchange.response is not None:
            tell(self.on_response, what, exchange.response.headers, reply, self._redactor)
        _log.debug("%s: HTTP %s, %.3f s", what, reply.status, took)
        return reply

    async def _attempt(
        self,
        method: str,
        path: str,
        data: aiohttp.Payload | None,
        exchange: HttpExchange,
        limit: float | anyio.CancelScope,
    ) -> APIConnectionError | None:
        """Send a request once; return what broke the exchange, None if it is complete or late."""
        try:
            if isinstance(limit, anyio.CancelScope):
                with limit:
                    await self._exchange(method, path, data, exchange)
            else:
                # Not aiohttp's timer: its streams use the timer of the request for which they were
                # made, so it does not end the wait for a body that an earlier request has left.
                async with asyncio.timeout(limit):
                    await self._exchange(method, path, data, exchange)
        except FOREIGN as error:
            if type(error) is TimeoutError and not error.args:  # the timeout's has no text
                return None
            exchange.error = error
            what = f"{method} {path.partition('?')[0]}"
            sent = exchange.sending if data is not None else None
            return failure_of(error, what, self._redactor, sent=sent, proxy=self._proxy)
        return None

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
        route = self._route(proxy)
        middlewares = [without_secrets(given)]
        if proxy is not None:
            middlewares.append(with_proxy_headers(route["proxy_headers"]))
        failure = None
        try:
            response = None
            # Headers may drip in, too. In a session of the caller connections may be scarce as well.
            limit = self.timeout.connect + self.timeout.stall
            with anyio.move_on_after(limit if self._is_own else self.timeout.request):
                response = await self._usable(self._files).get(
                    url,
                    headers=given,
                    middlewares=middlewares,
                    allow_redirects=False,
                    raise_for_status=False,
                    auto_decompress=True,
                    **self._bounds,
                    timeout=timeout,
                    **route,
                )
            if response is None:
                raise TimeoutError("the headers of the answer did not arrive in time")
            async with response:
                _log.debug("%s: HTTP %s", what, response.status)
                yield response
        except FOREIGN as error:
            failure = failure_of(error, what, self._redactor, proxy=proxy)
        if failure is not None:
            raise failure

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
        self, method: str, path: str, data: aiohttp.Payload | None, exchange: HttpExchange
    ) -> None:
        """Send a request and read the answer, as far as it comes."""
        async with self._usable(self._http).request(
            method, self._url(path), data=data, **self._options
        ) as response:
            if data is not None and not exchange.sending:
                exchange.is_refused = True
                response.close()
                raise early_answer()
            exchange.response = response
            content = response.content
            while not content.at_eof():  # usually one chunk
                exchange.body += await content.readany()
                if len(exchange.body) > _SMALL_BODY and not exchange.held:
                    await self._make_room(exchange, response)
                    if exchange.size_to_come:
                        return
                if len(exchange.body) > MAX_BODY:
                    response.close()
                    break
            exchange.is_complete = True

    async def _make_room(self, exchange: HttpExchange, response: aiohttp.ClientResponse) -> None:
        size = response.content_length
        if size is None or size > MAX_BODY or "Content-Encoding" in response.headers:
            size = MAX_BODY
        if response.method == "GET":
            # It would hold its part while it waits, and the time limit of a poll is too short for so
            # many bytes. So it is asked again.
            response.close()
            exchange.size_to_come = size
            return
        # A POST cannot be asked again, and its time limit is running.
        with anyio.move_on_after(self.timeout.request / 4):
            exchange.held = await self.memory.acquire(_COPIES * size)
        if not exchange.held:
            exchange.held = self.memory.occupy(_COPIES * size)

    async def _once_there_is_memory(self, size: int) -> HttpExchange:
        exchange = HttpExchange(None)
        exchange.held = await self.memory.acquire(_COPIES * size)
        return exchange

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
            if len(body) > _SMALL_BODY and not exchange.held:
                exchange.held = self.memory.occupy(_COPIES * len(body))
        if len(body) > MAX_BODY:
            error = InvalidResponseError(
                f"{what}: the answer is larger than {MAX_BODY} bytes", status=status
            )
            error.response = exchange.said(self._redactor)
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
            held=exchange.held,
        )
