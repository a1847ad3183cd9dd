"""The session without ``await``: each call is one of the async session, run in a thread of its own."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from foxapi_async import session as async_session
from foxapi_async.errors import ConfigurationError, SessionClosedError
from foxapi_async.events import Event
from foxapi_async.map_input import Item
from foxapi_async.models import Balance, Output, RawResponse, Task, UploadedFile
from foxapi_async.options import Limits, Polling, Retry, Timeout
from foxapi_async.requests import Request
from foxapi_async.statistics import Statistics
from foxapi_async.sync.handle import TaskHandle
from foxapi_async.sync.loop_thread import LoopThread
from foxapi_async.sync.outcomes import OutcomeIterator

if TYPE_CHECKING:
    from foxapi_async.journal import SessionJournal


class Session:
    """A client for one API key; use it as ``with Session() as session``, or `open` and `close` it.

    It has the options of `foxapi_async.Session`, except ``http``: an aiohttp.ClientSession belongs to an
    event loop of yours. ``on_event`` is called in the thread of the session, and must not call it.
    All threads of a process may share one session. A process that was forked from it needs its own.

    Raises:
        ConfigurationError: No key, or an option that cannot work.
    """

    _loop_thread: LoopThread | None = None
    _root: Session | None = None
    """The session of which this is a view."""

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
        on_event: Callable[[Event], object] | None = None,
    ) -> None:
        self._session = async_session.Session(
            api_key,
            base_url=base_url,
            limits=limits,
            polling=polling,
            retry=retry,
            timeout=timeout,
            journal=journal,
            headers=headers,
            user_agent=user_agent,
            proxy=proxy,
            on_event=on_event,
        )

    def open(self) -> Self:
        """Open the session where no ``with`` block fits; return it. It needs a call of `close`.

        Raises:
            ConfigurationError: It was opened before, or its journal cannot be used.
        """
        if self._root is not None:
            self._running()
            return self
        loop_thread = LoopThread(self._session.aclose)
        try:
            loop_thread.run(self._session.open)
        except BaseException:
            loop_thread.stop()
            raise
        self._loop_thread = loop_thread
        return self

    def close(self) -> None:
        """End the session as the end of ``with`` does; again, or before `open`, it does nothing.

        POSTs under way are finished first (within ``Timeout.request``), whatever interrupts it.
        """
        if self._root is None and self._loop_thread is not None:
            self._loop_thread.close()

    def with_options(
        self,
        *,
        timeout: Timeout | None = None,
        retry: Retry | None = None,
        polling: Polling | None = None,
        on_response: Callable[[RawResponse], object] | None = None,
    ) -> Self:
        """Return a view with other options for its calls; see `foxapi_async.Session.with_options`.

        ``on_response`` is called in the thread of the session, as ``on_event`` is.
        """
        view = copy.copy(self)
        view._root = self._root or self  # noqa: SLF001
        view._session = self._session.with_options(  # noqa: SLF001
            timeout=timeout, retry=retry, polling=polling, on_response=on_response
        )
        return view

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if self._root is None and self._loop_thread is not None and self._loop_thread.is_open:
            _warn(f"unclosed session {self!r}: call close()", ResourceWarning, source=self)

    def submit(
        self,
        request: Request,
        *,
        key: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> TaskHandle:
        """Wait for slots, POST once, return when the id is known; see `foxapi_async.Session.submit`.

        Interrupted while the POST is under way, it finishes the POST first; the handle is then in
        `in_flight`.
        """
        loop_thread = self._running()
        handle = loop_thread.run(partial(self._session.submit, request, key=key, extra=extra))
        return TaskHandle(handle, loop_thread)

    def generate(
        self,
        request: Request,
        *,
        key: str | None = None,
        timeout: float | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Task:
        """Submit a request and return its completed task; see `foxapi_async.Session.generate`.

        It may be interrupted as `submit`.
        """
        return self._running().run(
            partial(self._session.generate, request, key=key, timeout=timeout, extra=extra)
        )

    def attach(self, task_id: str, *, estimated_time: float | None = None) -> TaskHandle:
        """Return a handle on a task that exists already; see `foxapi_async.Session.attach`."""
        loop_thread = self._running()
        attach = partial(self._session.attach, task_id, estimated_time=estimated_time)
        return TaskHandle(loop_thread.call(attach), loop_thread)

    def retrieve(self, task_id: str) -> Task:
        """Ask for a task once; see `foxapi_async.Session.retrieve`."""
        return self._running().run(self._session.retrieve, task_id)

    def map(self, requests: Iterable[Item], *, ordered: bool = False) -> OutcomeIterator:
        """Submit all requests of an input, and yield each outcome; see `foxapi_async.Session.map`.

        The input is read in the thread that asks for outcomes, while it waits for one.
        """
        return OutcomeIterator(
            self._running(), partial(self._session.map, ordered=ordered), requests
        )

    def fan_out(self, request: Request, *, outputs_per_task: int = 1) -> OutcomeIterator:
        """Split a request into tasks that end one by one; see `foxapi_async.Session.fan_out`."""
        fan_out = partial(self._session.fan_out, request, outputs_per_task=outputs_per_task)
        return OutcomeIterator(self._running(), lambda _: fan_out(), ())

    def download(
        self,
        task_or_output: Task | Output,
        directory: str | os.PathLike[str],
        *,
        name: str | None = None,
    ) -> list[Path]:
        """Save the files of a task, or one of them; see `foxapi_async.Session.download`."""
        return self._running().run(
            partial(self._session.download, task_or_output, directory, name=name)
        )

    def read(self, output: Output) -> bytes:
        """Return the bytes of an output; see `foxapi_async.Session.read`."""
        return self._running().run(self._session.read, output)

    def upload(
        self,
        path_or_bytes: str | os.PathLike[str] | bytes,
        *,
        filename: str | None = None,
        auto_cleanup: bool = True,
    ) -> UploadedFile:
        """Store an input file at the server; see `foxapi_async.Session.upload`."""
        return self._running().run(
            partial(
                self._session.upload, path_or_bytes, filename=filename, auto_cleanup=auto_cleanup
            )
        )

    def balance(self) -> Balance:
        """Ask for the balance of the key and of its user; see `foxapi_async.Session.balance`."""
        return self._running().run(self._session.balance)

    def prices(self) -> dict[str, float]:
        """Ask for the public price list; see `foxapi_async.Session.prices`."""
        return self._running().run(self._session.prices)

    @property
    def journal(self) -> SessionJournal | None:
        """The journal of the session; see `foxapi_async.Session.journal`.

        Its methods that are not async may be called from any thread, except ``resubmit``. They read the
        file, where the end of a task appears within about a second.
        """
        return self._session.journal

    @property
    def limits(self) -> Limits:
        """The limits of the session."""
        return self._session.limits

    @property
    def retry(self) -> Retry:
        """The attempts and pauses of the session."""
        return self._session.retry

    @property
    def in_flight(self) -> tuple[TaskHandle, ...]:
        """The tasks that have not ended, in the order in which they were submitted or attached."""
        loop_thread = (self._root or self)._loop_thread  # noqa: SLF001
        if loop_thread is None or loop_thread.has_ended:
            return ()
        try:
            handles = loop_thread.call(lambda: self._session.in_flight)
        except SessionClosedError:  # another thread has just closed it
            return ()
        return tuple(TaskHandle(handle, loop_thread) for handle in handles)

    def statistics(self) -> Statistics:
        """Return counters of what the session has done so far; also after its end."""
        return self._session.statistics()

    def __repr__(self) -> str:
        return repr(self._session)

    def _running(self) -> LoopThread:
        loop_thread = (self._root or self)._loop_thread  # noqa: SLF001
        if loop_thread is None:
            raise ConfigurationError(
                "the session is not open: use it as `with Session() as session`, or call "
                "`session.open()` first"
            )
        return loop_thread
