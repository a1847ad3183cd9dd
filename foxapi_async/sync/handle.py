"""The handle on a task, without ``await``."""

from __future__ import annotations

from collections.abc import Iterator

from foxapi_async import handle as async_handle
from foxapi_async.models import Task
from foxapi_async.requests import Request
from foxapi_async.sync.loop_thread import LoopThread


class TaskHandle:
    """A task that was submitted or attached; see `foxapi_async.TaskHandle`.

    Any number of threads may wait for it; each poll serves them all.
    """

    __slots__ = ("_handle", "_loop_thread")

    def __init__(self, handle: async_handle.TaskHandle, loop_thread: LoopThread) -> None:
        self._handle = handle
        self._loop_thread = loop_thread

    @property
    def id(self) -> str:
        """The id of the task; valid in any process that has the key."""
        return self._handle.id

    @property
    def request(self) -> Request | None:
        """The request, None if only the id is known."""
        return self._handle.request

    @property
    def key(self) -> str | None:
        """The idempotency key of the submission, None if it had none."""
        return self._handle.key

    @property
    def latest(self) -> Task:
        """The task as the last poll found it."""
        return self._handle.latest

    @property
    def done(self) -> bool:
        """Whether the wait is over, successfully or not."""
        return self._handle.done

    def wait(self, timeout: float | None = None) -> Task:
        """Return the task once it is completed; see `foxapi_async.TaskHandle.wait`."""
        if self._handle.done:  # also when the session has ended
            return async_handle.result_of(self._handle)
        return self._loop_thread.run(self._handle.wait, timeout)

    def updates(self) -> TaskUpdates:
        """Return an iterator over the changes of the task; see `foxapi_async.TaskHandle.updates`."""
        return TaskUpdates(self._loop_thread.call(self._handle.updates), self._loop_thread)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TaskHandle):
            return NotImplemented
        return self._handle == other._handle

    def __hash__(self) -> int:
        return hash(self._handle)

    def __repr__(self) -> str:
        return repr(self._handle)


class TaskUpdates(Iterator[Task]):
    """The changes of one task; see `TaskHandle.updates`."""

    def __init__(self, updates: async_handle.TaskUpdates, loop_thread: LoopThread) -> None:
        self._updates = updates
        self._loop_thread = loop_thread

    def __next__(self) -> Task:
        task = self._loop_thread.run(self._next)
        if task is None:
            raise StopIteration
        return task

    def close(self) -> None:
        """Stop following the task."""
        if self._loop_thread.is_open:
            self._loop_thread.run(self._updates.aclose)

    async def _next(self) -> Task | None:
        return await anext(self._updates, None)
