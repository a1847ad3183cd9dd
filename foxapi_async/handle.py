"""What the caller holds of a task that is on its way."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

import anyio

from foxapi_async.errors import TaskOutcomeError, TaskTimeoutError
from foxapi_async.models import Task
from foxapi_async.polling.tracked_task import TrackedTask
from foxapi_async.requests import Request

__all__ = ["TaskHandle"]


class TaskHandle:
    """A task that was submitted or attached.

    Several coroutines may wait for one handle; one look serves them all. Cancelling one who waits
    cancels the waiting, not the remote task. Handles on one task are equal.
    """

    __slots__ = ("_check", "_watch")

    def __init__(self, watch: TrackedTask, check: Callable[[], object]) -> None:
        self._watch = watch
        self._check = check

    @property
    def id(self) -> str:
        """The id of the task; good in any process that has the key."""
        return self._watch.id

    @property
    def request(self) -> Request | None:
        """What was asked for, None if only the id is known."""
        return self._watch.request

    @property
    def key(self) -> str | None:
        """The idempotency key of the submission, None if it had none."""
        return self._watch.key

    @property
    def latest(self) -> Task:
        """The task as the last look found it."""
        return self._watch.latest

    @property
    def done(self) -> bool:
        """Whether the wait is over, well or badly."""
        return self._watch.ended

    async def wait(self, timeout: float | None = None) -> Task:
        """Return the task once it is completed.

        Args:
            timeout: Seconds to be patient; None for as long as ``Polling.give_up_after`` allows.
                When they are over the session goes on watching the task.

        Raises:
            TaskFailedError: The task failed.
            TaskCancelledError: The task was cancelled at the server.
            TaskTimeoutError: Patience ended first; the id can be waited for or attached again.
            AuthenticationError: The server no longer takes the key.
            NotFoundError: The server does not know the task, and that has lasted.
            InvalidResponseError: Completed, but no outputs appeared.
            SessionClosedError: The session ended first.
            ConfigurationError: Called from another event loop than the session's.
        """
        watch = self._watch
        if not watch.ended:
            self._check()
            ended = anyio.Event()
            watch.on_end.append(ended.set)
            try:
                with anyio.move_on_after(timeout):
                    await ended.wait()
            finally:
                if ended.set in watch.on_end:
                    watch.on_end.remove(ended.set)
        if not watch.ended:
            raise TaskTimeoutError(
                f"task {self.id} is still {self.latest.status.value} after {timeout:g} s of "
                "waiting; it goes on at the server, and the session still watches it",
                task_id=self.id,
                task=self.latest,
            )
        return watch.result()

    def __await__(self) -> Generator[Any, Any, Task]:
        return self.wait().__await__()

    async def updates(self) -> AsyncIterator[Task]:
        """Yield the task as it is now, and again after each change of its status or progress.

        The last one is terminal, whether the task is completed, failed or cancelled. If the wait
        ends in another way, its error is raised as by `wait`.
        """
        watch = self._watch
        changes: deque[Task] = deque([watch.latest])
        changed = anyio.Event()

        def note(task: Task) -> None:
            changes.append(task)
            changed.set()

        def wake() -> None:
            changed.set()

        if not watch.ended:
            self._check()
            watch.on_change.append(note)
            watch.on_end.append(wake)
        try:
            while True:
                while changes:
                    yield changes.popleft()
                if watch.ended:
                    break
                changed = anyio.Event()
                await changed.wait()
        finally:
            if note in watch.on_change:
                watch.on_change.remove(note)
            if wake in watch.on_end:
                watch.on_end.remove(wake)
        ended_at_the_server = watch.error is None or (
            isinstance(watch.error, TaskOutcomeError)
            and not isinstance(watch.error, TaskTimeoutError)
        )
        if not ended_at_the_server:
            watch.result()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TaskHandle):
            return NotImplemented
        return self._watch is other._watch

    def __hash__(self) -> int:
        return hash(self._watch)

    def __repr__(self) -> str:
        task = self._watch.latest
        progress = "" if task.progress is None else f" {task.progress} %"
        return f"<TaskHandle {task.id} {task.status.value}{progress}>"
