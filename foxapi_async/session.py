"""The session: where the parts are put together, and what they all live in."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import aiohttp
import anyio

from foxapi_async._validators import check_seconds
from foxapi_async.engine import Engine, Options
from foxapi_async.environment import check_headers, find_api_key, find_base_url
from foxapi_async.errors import (
    APITimeoutError,
    ConfigurationError,
    InvalidRequestError,
    SessionClosedError,
    TaskTimeoutError,
)
from foxapi_async.events import Event, EventEmitter
from foxapi_async.handle import TaskHandle
from foxapi_async.http.ids import check_task_id
from foxapi_async.http.transport import Transport
from foxapi_async.mapping import Item, OutcomeIterator
from foxapi_async.models import Output, Task, UploadedFile
from foxapi_async.options import Limits, Polling, Retry, Timeout
from foxapi_async.outcome import Outcome
from foxapi_async.requests import Request
from foxapi_async.statistics import Statistics
from foxapi_async.submission import Submission

if TYPE_CHECKING:
    from foxapi_async.journal import Journal

__all__ = ["Session"]


class Session:
    """Everything that happens with one API key: use it as ``async with Session() as session``.

    It owns one connection pool, the limits, and one poller for all its tasks. When the block ends,
    POSTs under way are finished (at most ``Timeout.request``), and nothing is left running; tasks
    that are still in flight go on at the server, and their ids are logged.

    Args:
        api_key: The key; by default that of the environment variable FOXAPI_API_KEY.
        base_url: Where the API is; by default FOXAPI_BASE_URL, else https://api.foxapi.cc. HTTPS,
            unless the host is loopback.
        limits: What may happen at once, and in all.
        polling: The trade between knowing soon and asking seldom.
        retry: Tries and the pauses between them.
        timeout: How long the server may take.
        journal: A `Journal`, or where its file is: it makes submissions durable, and idempotent by
            their key, across coroutines, processes and crashes.
        headers: Extra request headers; they go to the API only, never to a result's host.
        http: An aiohttp.ClientSession of yours; it is used and not closed.
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
        journal: Journal | str | os.PathLike[str] | None = None,
        headers: Mapping[str, str] | None = None,
        http: aiohttp.ClientSession | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> None:
        self._transport = Transport(
            find_base_url(base_url),
            find_api_key(api_key),
            timeout=timeout,
            headers=check_headers(headers),
            http=http,
        )
        self._journal = None if journal is None else _opened_later(journal)
        self._options = Options(limits, polling, retry, self._journal)
        self._announce = EventEmitter(on_event)
        self._runtime: Engine | None = None

    async def __aenter__(self) -> Self:
        if self._runtime is not None:
            raise ConfigurationError("a session is entered once; make a new Session")
        self._runtime = Engine(self._transport, self._options, self._announce)
        try:
            await self._runtime.open()
        except BaseException:
            await self._runtime.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._runtime is None:
            raise ConfigurationError(_NOT_ENTERED)
        await self._runtime.aclose()

    async def submit(self, request: Request, *, key: str | None = None) -> TaskHandle:
        """Wait for room, POST once, and return as soon as the task id is known.

        Cancelling it before the POST has begun leaves nothing behind. Afterwards the POST is
        finished first, and the handle is in `in_flight`.

        Args:
            request: What to generate.
            key: A name of yours for this submission. With a journal, the same key never bills
                twice: whoever submits it again, in this process or a later one, gets a handle on the
                same task.

        Raises:
            InvalidRequestError: Not a request, heavier than ``Limits.outputs``, or the key stands
                for another request; nothing was sent.
            BudgetExceededError: More images than ``Limits.total_outputs``; nothing was sent.
            APIConnectionError: The server is out of reach; nothing was sent.
            APIStatusError: The server refused it; nothing was billed.
            SubmissionUnknownError: A task may have been created, and its id is not known. With a
                journal the key stays blocked until ``journal.forget(key)``.
            SessionClosedError: The session has ended; nothing was sent.
        """
        runtime = self._open()
        watch = await runtime.submit(Submission(_checked(request), key))
        return TaskHandle(watch, runtime.check)

    async def generate(
        self, request: Request, *, key: str | None = None, timeout: float | None = None
    ) -> Task:
        """Submit a request and return its task once it is completed.

        Args:
            request: What to generate.
            key: As for `submit`.
            timeout: Seconds for all of it; None for as long as ``Polling.give_up_after`` allows.

        Raises:
            TaskOutcomeError: As for `TaskHandle.wait`; a task that exists is named.
            APITimeoutError: ``timeout`` was over before a task was created; nothing was billed.
                ``__cause__`` is the last refusal, if there was one.
            FoxAPIError: As for `submit`.
        """
        runtime = self._open()
        flight = Submission(_checked(request), key)
        deadline = anyio.current_time() + (math.inf if timeout is None else timeout)
        with anyio.CancelScope(deadline=deadline):
            watch = await runtime.submit(flight)
            return await TaskHandle(watch, runtime.check).wait()
        if flight.watch is None:
            if flight.error is not None and not isinstance(flight.error, SessionClosedError):
                raise flight.error
            raise APITimeoutError(
                f"no task was created within {timeout:g} s, and nothing was billed", sent=False
            ) from flight.declined
        task = flight.watch.latest
        raise TaskTimeoutError(
            f"task {task.id} is still {task.status.value} after {timeout:g} s; it goes on at the "
            f"server and is billed: session.attach({task.id!r}) waits for it again",
            task_id=task.id,
            task=task,
        )

    def attach(self, task_id: str, *, estimated_time: float | None = None) -> TaskHandle:
        """Pick up a task that exists already, from this process or another.

        Args:
            task_id: Its id.
            estimated_time: Seconds that it is expected to take from now on, if you know.

        Raises:
            InvalidRequestError: It cannot be a task id, or the time is no number of seconds.
        """
        if estimated_time is not None:
            check_seconds("estimated_time", estimated_time)
        runtime = self._open()
        watch = runtime.adopt(check_task_id(task_id), estimated_time=estimated_time)
        return TaskHandle(watch, runtime.check)

    async def retrieve(self, task_id: str) -> Task:
        """Ask for a task once (again only if that fails) and return what the server says.

        Args:
            task_id: Its id.

        Raises:
            InvalidRequestError: It cannot be a task id.
            NotFoundError: The server does not know it.
            APIStatusError: Another refusal.
            APIConnectionError: No answer.
            InvalidResponseError: No usable answer.
        """
        return await self._open().retrieve(check_task_id(task_id))

    def map(
        self, requests: Iterable[Item] | AsyncIterable[Item], *, ordered: bool = False
    ) -> AsyncIterator[Outcome]:
        """Submit all of an input, lazily and within the limits, and yield what becomes of each.

        No outcome raises: `Outcome.status` tells. After 401, 402 or 403 nothing more is sent, the
        rest is "not_submitted", and what is in flight comes home. If the input itself raises, what
        is in flight comes home first. Leaving the iteration stops submitting, and while an outcome
        waits to be read nothing is submitted either: start what takes long beside the loop.

        Args:
            requests: Requests, or (key, request) pairs; any iterable or async iterable. Only so much
                of it is read as fits the limits.
            ordered: Yield in the order of the input instead of the order of completion.
        """
        runtime = self._open()
        return OutcomeIterator(runtime.new_run(requests, ordered=ordered), runtime.start)

    def fan_out(self, request: Request, *, outputs_per_task: int = 1) -> AsyncIterator[Outcome]:
        """Split a request into tasks of few outputs: they arrive one by one, and fail one by one.

        Args:
            request: What to generate.
            outputs_per_task: Outputs of each task, at least 1.
        """
        return self.map(_checked(request).split(outputs_per_task))

    async def download(
        self,
        task_or_output: Task | Output,
        directory: str | os.PathLike[str],
        *,
        name: str | None = None,
    ) -> list[Path]:
        """Save the files of a task, or one of them, and return their paths in the order of outputs.

        A file appears under its name only when it is whole, and never takes the place of another.
        A broken download is resumed; a link that has expired is asked for again once.

        Args:
            task_or_output: A completed task, or one output of it.
            directory: The folder; it is made if it is not there.
            name: What to call the file, without extension, with ``-<index>`` if there are several;
                None for ``<task_id>-<index>``.

        Raises:
            OutputExpiredError: A link has expired and the server gave no other.
            DownloadError: There is no file, one could not be fetched whole, or the folder cannot be
                written to. The other outputs are saved first; they are in ``paths``.
        """
        return await self._open().save(task_or_output, directory, name)

    async def read(self, output: Output) -> bytes:
        """Return the bytes of an output, at most 256 MiB.

        Raises:
            OutputExpiredError: The link has expired and the server gave no other.
            DownloadError: It is not a file, or could not be fetched whole.
        """
        downloads = await self._open().transfers.downloads()
        return await downloads.read(output)

    async def upload(
        self,
        path_or_bytes: str | os.PathLike[str] | bytes,
        *,
        filename: str | None = None,
        auto_cleanup: bool = True,
    ) -> UploadedFile:
        """Store an input file, for ``image_urls`` and archives; its URL holds for 72 hours.

        Args:
            path_or_bytes: Where the file is, or what is in it.
            filename: What the server shall call it; None for the name on disk.
            auto_cleanup: Whether the server, when its storage is full, may remove the oldest files
                to make room, even those that a running task still needs. With False the upload
                fails then (403).

        Raises:
            InvalidRequestError: No such file, or it is empty or unreadable; nothing was sent.
            PayloadTooLargeError: The server takes no file of that size.
            FoxAPIError: Any other refusal or failure, after the last try.
        """
        uploads = await self._open().transfers.uploads()
        return await uploads.upload(path_or_bytes, filename=filename, auto_cleanup=auto_cleanup)

    @property
    def journal(self) -> Journal | None:
        """The journal that the session was given, or that of the path it was given."""
        return self._journal

    @property
    def limits(self) -> Limits:
        """The limits that the session was given."""
        return self._options.limits

    @property
    def in_flight(self) -> tuple[TaskHandle, ...]:
        """The tasks that have not ended, in the order in which they came."""
        if self._runtime is None:
            return ()
        return tuple(TaskHandle(watch, self._runtime.check) for watch in self._runtime.watches)

    def statistics(self) -> Statistics:
        """Return what the session has done so far, counted; also after it has ended."""
        if self._runtime is None:
            raise ConfigurationError(_NOT_ENTERED)
        return self._runtime.statistics()

    def __repr__(self) -> str:
        state = (
            "not entered" if self._runtime is None else f"{len(self._runtime.watches)} in flight"
        )
        return f"<Session {self._transport.base_url} {state}>"

    def _open(self) -> Engine:
        if self._runtime is None:
            raise ConfigurationError(_NOT_ENTERED)
        self._runtime.check()
        return self._runtime


_NOT_ENTERED = "the session is not open: use it as `async with Session() as session`"


def _opened_later(journal: Journal | str | os.PathLike[str]) -> Journal:
    # With SQLite it is a fifth of what an import of ours costs, and only some sessions have one. Here,
    # because nothing is under way yet that reading its files could hold up.
    from foxapi_async.journal import Journal  # noqa: PLC0415

    return journal if isinstance(journal, Journal) else Journal(journal)


def _checked(request: object) -> Request:
    if not isinstance(request, Request):
        raise InvalidRequestError(
            f"request is {request!r}; it must be a request such as PhotaImage('a fox')",
            field="request",
            value=request,
        )
    return request
