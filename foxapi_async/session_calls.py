"""The calls of a session, of the one that was opened and of its views."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio

from foxapi_async._validators import check_seconds, check_timeout
from foxapi_async.engine import Engine
from foxapi_async.errors import (
    APITimeoutError,
    ConfigurationError,
    InvalidRequestError,
    SessionClosedError,
)
from foxapi_async.handle import TaskHandle
from foxapi_async.http.ids import check_task_id
from foxapi_async.map_input import Item
from foxapi_async.mapping import OutcomeIterator
from foxapi_async.models import Balance, Output, Task, UploadedFile
from foxapi_async.options import Limits, Retry
from foxapi_async.requests import ExtendedRequest, Request
from foxapi_async.statistics import Statistics
from foxapi_async.submission import Submission, errors_before_sending
from foxapi_async.views import View, ViewOptions

if TYPE_CHECKING:
    from foxapi_async.journal import SessionJournal

_NOT_OPEN: Final = (
    "the session is not open: use it as `async with Session() as session`, or call "
    "`await session.open()` first"
)


class SessionCalls:
    """What a session can be asked to do while it is open."""

    _engine: Engine | None = None
    _root: SessionCalls | None = None
    """The session of which this is a view."""
    _view_options: ViewOptions | None = None
    _view: View | None = None
    _journal: SessionJournal | None
    _limits: Limits
    _retry: Retry

    async def submit(
        self,
        request: Request,
        *,
        key: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> TaskHandle:
        """Wait for slots, POST once, and return as soon as the task id is known.

        Cancelling it before the POST has begun leaves nothing behind. After that the POST is
        finished first, and the handle is in `in_flight`.

        Args:
            request: What to generate.
            key: A name of yours for this submission. With a journal, a key is billed at most once:
                submitting it again, in this process or a later one, gives a handle on the same task.
            extra: Further fields of the JSON object, for those that are newer than this release; they
                belong to what a key stands for. The request of the handle, and of errors, has them, too.

        Raises:
            InvalidRequestError: Not a request, heavier than ``Limits.outputs``, ``extra`` has a field
                that the request sets, or the key stands for another request; nothing was sent.
            BudgetExceededError: More images than ``Limits.total_outputs``; nothing was sent.
            APIConnectionError: The server cannot be reached; nothing was sent.
            APIStatusError: The server refused the request; nothing was billed.
            SubmissionUnknownError: A task may have been created, and its id is not known. With a
                journal the key stays blocked until ``journal.forget(key)``.
            SessionClosedError: The session has ended; nothing was sent.
        """
        engine = self._running()
        tracked = await engine.submitter.submit(
            Submission(_checked(request, extra), key, view=self._view_of(engine))
        )
        return TaskHandle(tracked, engine.registry)

    async def generate(
        self,
        request: Request,
        *,
        key: str | None = None,
        timeout: float | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Task:
        """Submit a request and return its task once it is completed.

        Args:
            request: What to generate.
            key: As for `submit`.
            timeout: Seconds for everything together, 0 or more; None for as long as ``Polling.give_up_after``
                allows. A POST that is under way when they are over is finished first, because its
                task may be billed; that takes at most ``Timeout.request`` more.
            extra: As for `submit`.

        Raises:
            InvalidRequestError: ``timeout`` is not a number of seconds, or as for `submit`.
            TaskOutcomeError: As for `TaskHandle.wait`; the error names the task.
            APITimeoutError: The time was over before a task was created; nothing was billed.
                ``__cause__`` is the last refusal, if there was one.
            FoxAPIError: As for `submit`.
        """
        if timeout is not None:
            timeout = check_timeout(timeout)
        engine = self._running()
        submission = Submission(_checked(request, extra), key, view=self._view_of(engine))
        started = anyio.current_time()
        deadline = started + (math.inf if timeout is None else timeout)
        with anyio.CancelScope(deadline=deadline):
            tracked = await engine.submitter.submit(submission)
            return await engine.registry.wait(tracked, None)
        waited = anyio.current_time() - started
        if submission.tracked is None:
            if submission.error is not None and not isinstance(
                submission.error, SessionClosedError
            ):
                raise submission.error
            raise APITimeoutError(
                f"no task was created within {waited:.3g} s (timeout={timeout:g}), and nothing was "
                "billed; submit it again",
                sent=False,
            ) from submission.last_refusal
        if submission.tracked.ended:  # as the answer to the POST has said
            return submission.tracked.result()
        tracked = submission.tracked
        raise tracked.timeout_error(
            f"is still {tracked.words()} after {waited:.3g} s (timeout={timeout:g})",
            "it continues on the server and is billed: "
            f"session.attach({tracked.id!r}) waits for it again",
        )

    def attach(self, task_id: str, *, estimated_time: float | None = None) -> TaskHandle:
        """Return a handle on a task that exists already, created by this process or another.

        ``estimated_time`` is how many seconds it is expected to take from now on, if you know.

        Raises:
            InvalidRequestError: Not a task id, or not a number of seconds.
        """
        if estimated_time is not None:
            estimated_time = check_seconds("estimated_time", estimated_time)
        engine = self._running()
        tracked = engine.registry.attach(
            check_task_id(task_id), estimated_time, self._view_of(engine)
        )
        return TaskHandle(tracked, engine.registry)

    async def retrieve(self, task_id: str) -> Task:
        """Ask for a task once (again only if that fails) and return what the server says.

        Raises:
            InvalidRequestError: Not a task id.
            NotFoundError: The server does not know the task.
            APIStatusError: Another refusal.
            APIConnectionError: No answer.
            InvalidResponseError: No usable answer.
        """
        engine = self._running()
        with engine.until_closed(f"retrieve({task_id!r})", check_task_id(task_id)):
            return await self._parts(engine).api.retrieve(task_id)

    def map(
        self, requests: Iterable[Item] | AsyncIterable[Item], *, ordered: bool = False
    ) -> OutcomeIterator:
        """Submit all requests of an input within the limits, and yield the outcome of each.

        No outcome raises: see `Outcome.status`. After a refusal of the key or the account
        (`APIStatusError.ends_run`), after 25 refusals in a row, and when ``Retry.patience`` is over in an
        outage, nothing more is sent, the rest is "not_submitted", and tasks in flight are still waited
        for. If the input itself raises, its
        error follows after the outcomes of the tasks in flight. A ``break`` stops submitting. While
        an outcome waits to be read nothing is submitted either, so do long work beside the loop.

        Args:
            requests: Requests, or (key, request) pairs; any iterable or async iterable. It is read
                lazily, only as far as the limits allow.
            ordered: Yield in the order of the input instead of the order of completion.
        """
        engine = self._running()
        return OutcomeIterator(engine.map(requests, ordered=ordered, view=self._view_of(engine)))

    def fan_out(self, request: Request, *, outputs_per_task: int = 1) -> OutcomeIterator:
        """Split a request into tasks of at most ``outputs_per_task`` (1 or more), which end one by one."""
        return self.map(_checked(request).split(outputs_per_task))

    async def download(
        self,
        task_or_output: Task | Output,
        directory: str | os.PathLike[str],
        *,
        name: str | None = None,
    ) -> list[Path]:
        """Save the files of a task, or one of them, and return their paths in the order of outputs.

        A file appears under its name only when it is whole, and never replaces another file. A
        broken download is resumed; for an expired link the server is asked once for a fresh one.
        Content that the server sent inline is saved, too. While the process has no file descriptor
        left, downloads wait. Objects of a store keep the same promises: see docs/cloud.md.

        Args:
            task_or_output: A completed task, or one output of it.
            directory: The directory; created if it does not exist. Or the URL of a folder in an object
                store: ``s3://bucket/folder``, ``gs://…`` or ``az://…`` (extra ``[cloud]``). The paths
                are then of the class `ObjectPath`, whose text is the URL of the object.
            name: The name of the file without extension, with ``-<index>`` if there are several;
                None for ``<task_id>-<index>``.

        Raises:
            OutputExpiredError: A link has expired, and the server gave no other.
            DownloadError: There is no file, one could not be fetched whole, or the directory or store
                cannot be written to. The other outputs are saved first; they are in ``paths``.
            ConfigurationError: The URL is not one of a store, or the extra is not installed.
            SessionClosedError: The session ended meanwhile.
        """
        engine = self._running()
        task_id = task_or_output.id if isinstance(task_or_output, Task) else task_or_output.task_id
        with engine.until_closed("a download", task_id):
            return await self._parts(engine).files.save(task_or_output, directory, name)

    async def read(self, output: Output) -> bytes:
        """Return the bytes of an output, at most 256 MiB.

        Raises:
            OutputExpiredError: The link has expired, and the server gave no other.
            DownloadError: It is not a file, or could not be fetched whole.
            SessionClosedError: The session ended meanwhile.
        """
        engine = self._running()
        with engine.until_closed("a download", output.task_id):
            return await self._parts(engine).files.read(output)

    async def upload(
        self,
        path_or_bytes: str | os.PathLike[str] | bytes,
        *,
        filename: str | None = None,
        auto_cleanup: bool = True,
    ) -> UploadedFile:
        """Store an input file, for ``image_urls`` and archives; its URL is valid for 72 hours.

        Args:
            path_or_bytes: The path of the file, or its content.
            filename: Its name on the server; None for the name on disk.
            auto_cleanup: Whether the server, when its storage is full, may remove the oldest files
                to make room, even those that a running task still needs. With False the upload
                fails in that case (403).

        Raises:
            InvalidRequestError: No such file, or it is empty or unreadable; nothing was sent.
            PayloadTooLargeError: The server accepts no file of that size.
            FoxAPIError: Any other refusal or failure, after the last attempt.
        """
        engine = self._running()
        with engine.until_closed("an upload"):
            return await self._parts(engine).files.upload(
                path_or_bytes, filename=filename, auto_cleanup=auto_cleanup
            )

    async def balance(self) -> Balance:
        """Ask for the balance of the key and of its user. Free.

        Raises:
            FoxAPIError: A refusal, no answer, or one that is not JSON, after the last attempt.
        """
        engine = self._running()
        with engine.until_closed("balance()"):
            return await self._parts(engine).api.balance()

    async def prices(self) -> dict[str, float]:
        """Ask for the public price list; return the price of one call in USD by model. Free.

        Models without a fixed price, or with one that depends on the group of the key, are missing.
        FoxAPI does not document what a call for several images, or for larger ones, costs.

        Raises:
            FoxAPIError: As for `balance`.
        """
        engine = self._running()
        with engine.until_closed("prices()"):
            return await self._parts(engine).api.prices()

    @property
    def journal(self) -> SessionJournal | None:
        """The journal of the session."""
        return self._journal

    @property
    def limits(self) -> Limits:
        """The limits of the session."""
        return self._limits

    @property
    def retry(self) -> Retry:
        """The attempts and pauses of the session."""
        return self._retry if self._view_options is None else self._view_options.retry

    @property
    def in_flight(self) -> tuple[TaskHandle, ...]:
        """The tasks that have not ended, in the order in which they were submitted or attached."""
        engine = (self._root or self)._engine  # noqa: SLF001
        if engine is None:
            return ()
        registry = engine.registry
        return tuple(TaskHandle(tracked, registry) for tracked in registry.tasks.values())

    def statistics(self) -> Statistics:
        """Return counters of what the session has done so far; also after its end."""
        engine = (self._root or self)._engine  # noqa: SLF001
        if engine is None:
            raise ConfigurationError(_NOT_OPEN)
        return engine.statistics()

    def _running(self) -> Engine:
        engine = (self._root or self)._engine  # noqa: SLF001
        if engine is None:
            raise ConfigurationError(_NOT_OPEN)
        engine.registry.check()
        return engine

    def _view_of(self, engine: Engine) -> View | None:
        if self._view is None and self._view_options is not None:
            self._view = engine.view(self._view_options)
        return self._view

    def _parts(self, engine: Engine) -> Engine | View:
        return self._view_of(engine) or engine


def _checked(request: object, extra: Mapping[str, Any] | None = None) -> Request:
    if not isinstance(request, Request):
        raise InvalidRequestError(
            f"request is {request!r}; it must be a request such as PhotaImage('a fox')",
            field="request",
            value=request,
        )
    if extra is None:
        return request
    with errors_before_sending():
        return ExtendedRequest(request, extra)
