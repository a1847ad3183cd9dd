"""What a session tells its ``on_event`` listener: one class for each thing that happens.

Tell them apart with ``match``::

    def on_event(event: Event) -> None:
        match event:
            case TaskUpdated(task=task):
                print(task.id, task.progress)
            case TaskEnded(task_id=task_id, error=None):
                print(task_id, "is completed")

A listener is called in the session's event loop, so it should be quick. One that raises is logged;
the run goes on. No event contains the API key.
"""

from __future__ import annotations

from pathlib import Path

import attrs

from foxapi_async.errors import FoxAPIError
from foxapi_async.models import Output, Task
from foxapi_async.requests import Request
from foxapi_async.value import Value

__all__ = [
    "DownloadProgress",
    "Downloaded",
    "Event",
    "PollFailed",
    "RateLimited",
    "SubmissionFailed",
    "SubmissionStarted",
    "TaskEnded",
    "TaskSubmitted",
    "TaskUpdated",
]


@attrs.frozen(eq=False, repr=False)
class Event(Value):
    """Something that happened in a session."""


@attrs.frozen(eq=False, repr=False)
class SubmissionStarted(Event):
    """A POST that bills leaves now; it may be the second try of one that created nothing."""

    request: Request
    key: str | None


@attrs.frozen(eq=False, repr=False)
class TaskSubmitted(Event):
    """The server created a task."""

    task: Task
    request: Request
    key: str | None


@attrs.frozen(eq=False, repr=False)
class SubmissionFailed(Event):
    """A submission ended without a task id; the class of ``error`` tells what that means."""

    request: Request
    key: str | None
    error: FoxAPIError


@attrs.frozen(eq=False, repr=False)
class TaskUpdated(Event):
    """A look found another status or progress."""

    task: Task
    request: Request | None


@attrs.frozen(eq=False, repr=False)
class TaskEnded(Event):
    """A task needs no more looks: completed if ``error`` is None.

    ``task`` is what was last seen of it, ``seconds`` the time since its submission (or since it was
    attached).
    """

    task_id: str
    task: Task
    error: FoxAPIError | None
    request: Request | None
    seconds: float


@attrs.frozen(eq=False, repr=False)
class PollFailed(Event):
    """A look at a task failed; the task is looked at again."""

    task_id: str
    error: FoxAPIError


@attrs.frozen(eq=False, repr=False)
class RateLimited(Event):
    """The server answered 429, and the whole session slows down.

    ``retry_after`` is what the server asked for in seconds, None if nothing usable.
    """

    retry_after: float | None


@attrs.frozen(eq=False, repr=False)
class DownloadProgress(Event):
    """Some bytes of an output arrived; ``total`` is None if the server does not say."""

    output: Output
    received: int
    total: int | None


@attrs.frozen(eq=False, repr=False)
class Downloaded(Event):
    """An output is on disk, whole; ``size`` is in bytes."""

    output: Output
    path: Path
    size: int
