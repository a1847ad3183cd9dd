"""What is known of the tasks of one command, collected from the session's events."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from foxapi_async import Event, FoxAPIError, Request, Task, TaskStatus, errors, events
from foxapi_async.outcome import OutcomeStatus

_MAX_ESTIMATED: Final = 0.95
"""Only the server can say that a task is done, so an estimate ends before 1."""


@attrs.frozen
class TaskProgress:
    """A progress from 0 to 1; ``estimated`` if it comes from the clock and not from the server."""

    value: float
    estimated: bool = False


@attrs.define(eq=False)
class TaskState:
    """The last known state of one task, and which of its files are saved. Times are in seconds."""

    task: Task
    request: Request | None
    started: float
    label: str = ""
    ended: bool = False
    seconds: float | None = None
    error: FoxAPIError | None = None
    downloading: bool = False
    saved: dict[int, Path] = attrs.field(factory=dict[int, Path])

    @property
    def completed(self) -> bool:
        """Whether the task has its outputs."""
        return self.ended and self.error is None

    @property
    def unfinished(self) -> bool:
        """Whether the task continues at the server, as far as is known."""
        if not self.ended:
            return True
        ends = errors.TaskFailedError | errors.TaskCancelledError
        return self.error is not None and not self.not_found and not isinstance(self.error, ends)

    @property
    def outcome(self) -> OutcomeStatus:
        """The status of a task that was not waited for until its end."""
        if self.completed:
            return "completed"
        return "unfinished" if self.unfinished else "failed"

    @property
    def not_found(self) -> bool:
        """Whether the server knows no such task, and this command did not submit it either."""
        return isinstance(self.error, errors.NotFoundError) and self.request is None

    @property
    def files(self) -> int:
        """The number of outputs that are files."""
        return sum(output.url is not None for output in self.task.outputs)

    @property
    def unsaved(self) -> bool:
        """Whether the task has outputs that are not on disk."""
        return self.completed and len(self.saved) < self.files

    def age(self, now: float) -> float:
        """Return how long the task has been running, or ran."""
        return self.seconds if self.seconds is not None else max(0.0, now - self.started)


@attrs.define(eq=False)
class TaskStates:
    """The tasks of a command by id, in order of submission; labelled with their ids by default."""

    label: Callable[[Request | None, str], str] = lambda _request, task_id: task_id
    by_id: dict[str, TaskState] = attrs.field(factory=dict[str, TaskState])
    _submissions: dict[tuple[str | None, int], Request] = attrs.field(
        factory=dict[tuple[str | None, int], Request]
    )

    @property
    def submissions(self) -> tuple[Request, ...]:
        """The submissions that have no answer yet."""
        return tuple(self._submissions.values())

    def unfinished_ids(self, *, saving: bool) -> tuple[str, ...]:
        """Return the ids of tasks that are not finished, or, if ``saving``, not completely saved."""
        return tuple(
            task_id
            for task_id, state in self.by_id.items()
            if state.unfinished or (saving and state.unsaved)
        )

    def update(self, event: Event) -> None:
        """Update the states from an event of the session."""
        match event:
            case events.SubmissionStarted(request, key):
                self._submissions[key, id(request)] = request
            case events.SubmissionFailed(request, key):
                self._submissions.pop((key, id(request)), None)
            case events.TaskSubmitted(task, request, key):
                self._submissions.pop((key, id(request)), None)
                self._state(task, request).task = task
            case events.TaskUpdated(task, request):
                self._state(task, request).task = task
            case events.TaskEnded(_, task, error, request, seconds):
                state = self._state(task, request)
                state.task, state.error, state.seconds, state.ended = task, error, seconds, True
            case events.DownloadProgress(output) if output.task_id in self.by_id:
                self.by_id[output.task_id].downloading = True
            case events.Downloaded(output, path) if output.task_id in self.by_id:
                self.by_id[output.task_id].saved[output.index] = path
            case _:
                pass

    def _state(self, task: Task, request: Request | None) -> TaskState:
        if task.id not in self.by_id:
            label = self.label(request, task.id)
            self.by_id[task.id] = TaskState(task, request, time.monotonic(), label)
        return self.by_id[task.id]


def progress_of(state: TaskState, now: float) -> TaskProgress | None:
    """Return the progress of a task, between polls by the clock and the estimate; None if unknown."""
    if state.completed:
        return TaskProgress(1.0)
    reported = None if state.task.progress is None else TaskProgress(state.task.progress / 100)
    estimate = state.task.task_info.estimated_time
    if state.ended or state.task.status is TaskStatus.COMPLETED or not estimate or estimate <= 0:
        return reported
    by_clock = min(state.age(now) / estimate, _MAX_ESTIMATED)
    if reported is None or by_clock > reported.value:
        return TaskProgress(by_clock, estimated=True)
    return reported
