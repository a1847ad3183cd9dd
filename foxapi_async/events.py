"""The events that a session passes to its ``on_event`` listener, one class for each kind.

Tell them apart with ``match``::

    def on_event(event: Event) -> None:
        match event:
            case TaskUpdated(task=task):
                print(task.id, task.progress)
            case TaskEnded(task_id=task_id, error=None):
                print(task_id, "is completed")

The listener is called in the session's event loop, so it must return quickly. What it raises is
logged and otherwise ignored, KeyboardInterrupt and SystemExit included: an exit from the middle of a
submission could lose the id of a billed task. To end the program, let the listener set an event or
cancel a task of yours. No event contains the API key.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from foxapi_async.errors import ConfigurationError, FoxAPIError
from foxapi_async.models import JsonValue, Output, Task
from foxapi_async.requests import Request

__all__ = [
    "DownloadProgress",
    "Downloaded",
    "Event",
    "EventEmitter",
    "PollFailed",
    "RateLimited",
    "SubmissionFailed",
    "SubmissionStarted",
    "SubmissionsPaused",
    "SubmissionsResumed",
    "TaskEnded",
    "TaskSubmitted",
    "TaskUpdated",
]

_log = logging.getLogger("foxapi_async")


@attrs.frozen
class Event(JsonValue):
    """The base class of all events."""

    def to_dict(self) -> dict[str, Any]:
        """Return the event in JSON types: ``event`` is the name of its class; see `Task.to_dict`."""
        return {"event": type(self).__name__, **super().to_dict()}


@attrs.frozen
class SubmissionStarted(Event):
    """A billed POST is about to be sent; it may repeat one that created nothing."""

    request: Request
    key: str | None


@attrs.frozen
class TaskSubmitted(Event):
    """The server created a task."""

    task: Task
    request: Request
    key: str | None


@attrs.frozen
class SubmissionFailed(Event):
    """A submission ended without a task id; the class of ``error`` says whether it may be billed."""

    request: Request
    key: str | None
    error: FoxAPIError


@attrs.frozen
class TaskUpdated(Event):
    """A poll returned a new status or progress."""

    task: Task
    request: Request | None


@attrs.frozen
class TaskEnded(Event):
    """Polling of a task ended: the task is completed if ``error`` is None.

    ``task`` is its last known state, ``seconds`` the time since it was submitted or attached.
    """

    task_id: str
    task: Task
    error: FoxAPIError | None
    request: Request | None
    seconds: float


@attrs.frozen
class PollFailed(Event):
    """A poll failed; the task is polled again."""

    task_id: str
    error: FoxAPIError


@attrs.frozen
class RateLimited(Event):
    """The server answered 429; all requests of that kind (submissions, or all others) slow down.

    ``retry_after`` is the server's Retry-After in seconds, None without a usable one.
    """

    retry_after: float | None


@attrs.frozen
class SubmissionsPaused(Event):
    """Submissions got no clear answers, so no POST leaves; tasks in flight are polled as before.

    ``since`` is in UTC, ``reason`` the error of the last submission, ``next_try`` the seconds until the
    next request that finds out whether the service has recovered.
    """

    since: datetime
    reason: FoxAPIError | None
    next_try: float


@attrs.frozen
class SubmissionsResumed(Event):
    """A submission was accepted, so the pause of so many ``seconds`` is over."""

    seconds: float


@attrs.frozen
class DownloadProgress(Event):
    """Bytes of an output arrived; ``total`` is None if the server does not announce the size."""

    output: Output
    received: int
    total: int | None


@attrs.frozen
class Downloaded(Event):
    """An output was downloaded and verified; ``size`` is in bytes."""

    output: Output
    path: Path
    size: int


class EventEmitter:
    """Passes events to the listener of a session, if there is one."""

    def __init__(self, listener: Callable[[Event], object] | None) -> None:
        if inspect.iscoroutinefunction(listener):
            raise ConfigurationError(
                "on_event is a coroutine function, and its coroutines would never be awaited; pass a "
                "plain function, which may put the event into a queue"
            )
        self._listener = listener
        self.has_listener: bool = listener is not None
        """Whether an event is worth building."""

    def emit(self, event: Event) -> None:
        """Call the listener; log what it raises."""
        if self._listener is None:
            return
        try:
            self._listener(event)
        # Not even SystemExit may pass: it would end the poller, or cut off a billed POST.
        except BaseException:  # noqa: BLE001
            _log.exception("on_event raised an exception for %s", type(event).__name__)
