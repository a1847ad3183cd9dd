"""The session: what callers use."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

import aiohttp

from foxapi_async.engine import Engine
from foxapi_async.environment import check_headers, check_user_agent, find_api_key, find_base_url
from foxapi_async.errors import (
    ConfigurationError,
)
from foxapi_async.events import Event, EventEmitter
from foxapi_async.http.proxies import Proxies, find_proxies
from foxapi_async.http.transport import USER_AGENT, Transport
from foxapi_async.log_setup import set_up_logging
from foxapi_async.models import RawResponse
from foxapi_async.options import Limits, Polling, Retry, Timeout
from foxapi_async.session_calls import SessionCalls
from foxapi_async.views import ViewOptions

if TYPE_CHECKING:
    from foxapi_async.journal import SessionJournal


class Session(SessionCalls):
    """A client for one API key; use it as ``async with Session() as session``, or `open` and `aclose` it.

    It owns one connection pool, the limits, and one poller for all its tasks. When it is closed,
    POSTs under way are finished (within ``Timeout.request``) and nothing is left running; tasks that
    are still in flight continue on the server, and their ids are logged.

    Args:
        api_key: The key; by default the environment variable FOXAPI_API_KEY.
        base_url: The address of the API; by default FOXAPI_BASE_URL, else https://api.foxapi.cc. HTTPS,
            unless the host is loopback.
        limits: Bounds of what happens at once, and in all.
        polling: The trade between delay and polls.
        retry: Attempts and the pauses between them.
        timeout: How long the server may take.
        journal: A `Journal` or the path of its file, a `PostgresJournal` or its address
            (``postgresql://…``): it makes submissions durable, and idempotent by
            their key, across coroutines, processes and crashes.
        headers: Extra request headers; they are sent to the API only, never to the host of a result.
        user_agent: What is appended to the User-Agent of requests to the API, such as "myapp/1.0"; a
            User-Agent of your own belongs into ``headers``, instead.
        proxy: The URL of an HTTP proxy (``http://user:password@host:3128``) for everything but loopback
            hosts, "" for none; by default HTTPS_PROXY, ALL_PROXY and NO_PROXY decide. ``.netrc`` is
            never read.
        http: An aiohttp.ClientSession of yours; it is used and not closed. Without ``proxy`` its own
            proxy counts, and the variables only if it has ``trust_env=True``. It serves downloads, too,
            but the hosts of results get none of its headers, cookies and credentials.
        on_event: Called with an `Event` for everything that happens.

    Raises:
        ConfigurationError: No key, or an option that cannot work.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        polling: Polling = Polling(),  # noqa: B008 - frozen
        retry: Retry = Retry(),  # noqa: B008 - frozen
        timeout: Timeout = Timeout(),  # noqa: B008 - frozen
        journal: SessionJournal | str | os.PathLike[str] | None = None,
        headers: Mapping[str, str] | None = None,
        user_agent: str | None = None,
        proxy: str | None = None,
        http: aiohttp.ClientSession | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> None:
        set_up_logging(os.environ.get("FOXAPI_LOG"))
        url = find_base_url(base_url)
        proxies: Proxies | None = None
        if proxy is not None or http is None or http.trust_env:
            proxies = find_proxies(proxy, os.environ)
            proxies.check(url)
        extra_headers = check_headers(headers)
        if check_user_agent(user_agent, extra_headers) is not None:
            extra_headers["User-Agent"] = f"{USER_AGENT} {user_agent}"
        self._transport = Transport(
            url,
            find_api_key(api_key),
            timeout=timeout,
            headers=extra_headers,
            http=http,
            proxies=proxies,
        )
        self._journal = None if journal is None else _to_journal(journal)
        self._limits = limits
        self._polling = polling
        self._timeout = timeout
        self._retry = retry
        self._events = EventEmitter(on_event)
        self._was_opened = False

    async def open(self) -> Self:
        """Open the session where no ``async with`` block fits, as in a notebook; return the session.

        It needs a call of `aclose` from the same event loop. A session that is collected without one
        emits a ResourceWarning.

        Raises:
            ConfigurationError: It was opened before, or its journal cannot be used.
        """
        if self._root is not None:
            self._running()
            return self
        if self._was_opened:
            raise ConfigurationError(
                "the session was opened before, and a session is opened once; create a new Session"
            )
        self._was_opened = True
        engine = Engine(
            self._transport,
            limits=self._limits,
            polling=self._polling,
            retry=self._retry,
            journal=self._journal,
            events=self._events,
        )
        try:
            await engine.open()
        except BaseException:
            await engine.aclose()
            raise
        self._engine = engine
        return self

    async def aclose(self) -> None:
        """End the session as the end of ``async with`` does; again, or before `open`, it does nothing.

        Raises:
            ConfigurationError: It was opened in another event loop.
        """
        if self._root is None and self._engine is not None:
            await self._engine.aclose()

    def with_options(
        self,
        *,
        timeout: Timeout | None = None,
        retry: Retry | None = None,
        polling: Polling | None = None,
        on_response: Callable[[RawResponse], object] | None = None,
    ) -> Self:
        """Return a view: this session with other options for the calls that are made through it.

        Limits, rates, connections, journal, poller and statistics are those of the session, and so is
        `in_flight`. A view may be made at any time. It is open while the session is: opening or
        entering it only checks that, and closing or leaving it does nothing. A view of a view keeps the
        options that are not given.

        Args:
            timeout: Time limits of its requests, the polls of its tasks included.
            retry: How its requests are repeated. Rates and pauses are those of the session.
            polling: How the tasks are polled that it submits or attaches, and when it gives up. A task
                that is tracked already keeps its own.
            on_response: Called in the event loop with a `RawResponse` for each whole answer of the API
                to its calls and to polls of its tasks; downloads are not shown. It must return quickly; what
                it raises is logged and otherwise ignored.

        Raises:
            ConfigurationError: An argument of a wrong type.
        """
        before = self._view_options or ViewOptions(self._timeout, self._retry, self._polling)
        view = copy.copy(self)
        view._root, view._view = self._root or self, None  # noqa: SLF001
        view._view_options = ViewOptions(  # noqa: SLF001
            before.timeout if timeout is None else timeout,
            before.retry if retry is None else retry,
            before.polling if polling is None else polling,
            before.on_response if on_response is None else on_response,
        )
        return view

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if self._root is None and self._engine is not None and not self._engine.has_finished:
            _warn(f"unclosed session {self!r}", ResourceWarning, source=self)
            self._engine.report_unclosed(self)

    def __repr__(self) -> str:
        engine = (self._root or self)._engine  # noqa: SLF001
        state = "not open" if engine is None else f"{len(engine.registry.tasks)} in flight"
        return f"<Session {self._transport.base_url} {state}>"


def _to_journal(journal: SessionJournal | str | os.PathLike[str]) -> SessionJournal:
    # Imported here: with SQLite it takes a fifth of the time of importing this package, and only some
    # sessions have a journal (`benchmarks.imports`).
    from foxapi_async.journal import journal_at  # noqa: PLC0415

    return journal_at(journal) if isinstance(journal, str | os.PathLike) else journal
