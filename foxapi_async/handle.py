"""The handle on a task that was submitted or attached."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from typing import Any

from foxapi_async._concurrency import Signal
from foxapi_async._validators import check_timeout
from foxapi_async.errors import TaskCancelledError, TaskFailedError
from foxapi_async.models import Task
from foxapi_async.polling.tracked_task import TrackedTask
from foxapi_async.registry import TaskRegistry
from foxapi_async.requests import Request


class TaskHandle:
    """A task that was submitted or attached.

    Several coroutines may wait for one handle; each poll serves them all. Cancelling a waiter
    cancels the waiting, not the remote task. Handles on the same task are equal.
    """

    __slots__ = ("_registry", "_tracked")

    def __init__(self, tracked: TrackedTask, registry: TaskRegistry) -> None:
        self._tracked = tracked
        self._registry = registry

    @property
    def id(self) -> str:
        """The id of the task; valid in any process that has the key."""
        return self._tracked.id

    @property
    def request(self) -> Request | None:
        """The request, None if only the id is known."""
        return self._tracked.request

    @property
    def key(self) -> str | None:
        """The idempotency key of the submission, None if it had none."""
        return self._tracked.key

    @property
    def latest(self) -> Task:
        """The task as the last poll found it."""
        return self._tracked.latest

    @property
    def done(self) -> bool:
        """Whether the wait is over, successfully or not."""
        return self._tracked.ended

    async def wait(self, timeout: float | None = None) -> Task:
        """Return the task once it is completed.

        Args:
            timeout: Seconds to wait, 0 or more; None for as long as ``Polling.give_up_after`` allows. After a
                timeout the session still tracks the task.

        Raises:
            InvalidRequestError: ``timeout`` is not a number of seconds.
            TaskFailedError: The task failed.
            TaskCancelledError: The task was cancelled at the server.
            TaskTimeoutError: The time was over first; the handle can be awaited again.
            AuthenticationError: The server no longer accepts the key.
            NotFoundError: The server does not know the task, and that has lasted for 10 s.
            InvalidResponseError: The task is completed, but no outputs appeared.
            SessionClosedError: The session ended first.
            ConfigurationError: Called from another event loop than that of the session.
        """
        if timeout is not None:
            timeout = check_timeout(timeout)
        if not self._tracked.ended:
            self._registry.check()
        return await self._registry.wait(self._tracked, timeout)

    def __await__(self) -> Generator[Any, Any, Task]:
        return self.wait().__await__()

    def updates(self) -> TaskUpdates:
        """Return an iterator over the task as it is now and after each change of status or progress.

        The last one is terminal, whether the task is completed, failed or cancelled. If the wait
        ends in another way, its error is raised as by `wait`. Changes that nobody reads in time are
        skipped: only the newest one is kept. A cancelled ``anext`` loses nothing.
        """
        if not self._tracked.ended:
            self._registry.check()
        return TaskUpdates(self._tracked)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TaskHandle):
            return NotImplemented
        return self._tracked is other._tracked

    def __hash__(self) -> int:
        return hash(self._tracked)

    def __repr__(self) -> str:
        task = self._tracked.latest
        progress = "" if task.progress is None else f" {task.progress} %"
        return f"<TaskHandle {task.id} {task.status.value}{progress}>"


def result_of(handle: TaskHandle) -> Task:
    """Return the completed task of a handle whose wait is over, or raise what ended the wait."""
    tracked = handle._tracked  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - of this module
    return tracked.result()


class TaskUpdates(AsyncIterator[Task]):
    """The changes of one task; see `TaskHandle.updates`."""

    def __init__(self, tracked: TrackedTask) -> None:
        self._tracked = tracked
        self._unread: Task | None = tracked.latest
        self._changed = Signal()
        self._closed = False
        if not tracked.ended:
            tracked.add_observer(self)

    async def __anext__(self) -> Task:
        while self._unread is None:
            if self._closed:
                raise StopAsyncIteration
            if self._tracked.ended:
                self._closed = True
                # An end at the server was the last update; any other end of the wait raises.
                if not isinstance(self._tracked.error, TaskFailedError | TaskCancelledError):
                    self._tracked.result()
                raise StopAsyncIteration
            await self._changed.wait()
        task, self._unread = self._unread, None
        return task

    async def aclose(self) -> None:
        """Stop following the task."""
        self._closed = True
        self._unread = None
        self._tracked.remove_observer(self)
        self._changed.set()

    def task_changed(self, tracked: TrackedTask) -> None:
        """Keep the newest change."""
        self._unread = tracked.latest
        self._changed.set()

    def task_ended(self, tracked: TrackedTask) -> None:  # noqa: ARG002
        """Wake the reader."""
        self._changed.set()
