"""What is known of the tasks of one command, gathered from events: the ground of all that is shown.

It also knows what is not finished, so that an interrupted command can say how to go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from foxapi_async.errors import FoxAPIError, NotFoundError, TaskCancelledError, TaskFailedError
from foxapi_async.events import (
    Downloaded,
    DownloadProgress,
    Event,
    SubmissionFailed,
    SubmissionStarted,
    TaskEnded,
    TaskSubmitted,
    TaskUpdated,
)
from foxapi_async.models import Task, TaskStatus
from foxapi_async.requests import Request

__all__ = ["Share", "Track", "Tracks", "share_of"]

_ALMOST: Final = 0.95
"""How far a bar gets by the clock alone: only the server can say that a task is done."""


@attrs.frozen
class Share:
    """How far something is, 0 to 1; ``guessed`` if the clock says so and not the server."""

    value: float
    guessed: bool = False


@attrs.define(eq=False)
class Track:
    """One task: what was last seen of it, and which of its files are here. Times are in seconds."""

    task: Task
    request: Request | None
    began: float
    label: str = ""
    ended: bool = False
    seconds: float | None = None
    error: FoxAPIError | None = None
    received: dict[int, tuple[int, int | None]] = attrs.field(
        factory=dict[int, tuple[int, int | None]]
    )
    saved: dict[int, Path] = attrs.field(factory=dict[int, Path])

    @property
    def completed(self) -> bool:
        """Whether the task has its outputs."""
        return self.ended and self.error is None

    @property
    def unfinished(self) -> bool:
        """Whether the task goes on at the server, as far as we know."""
        if not self.ended:
            return True
        if self.is_unknown:
            return False
        return not (
            self.error is None or isinstance(self.error, TaskFailedError | TaskCancelledError)
        )

    @property
    def is_unknown(self) -> bool:
        """Whether the server says that there is no such task, and we did not submit it either."""
        return isinstance(self.error, NotFoundError) and self.request is None

    @property
    def files(self) -> int:
        """How many outputs are files."""
        return sum(output.url is not None for output in self.task.outputs)

    @property
    def unsaved(self) -> bool:
        """Whether the task has outputs that are not on disk."""
        return self.completed and len(self.saved) < self.files

    def age(self, now: float) -> float:
        """Return for how long the task has been, or was, under way."""
        return self.seconds if self.seconds is not None else max(0.0, now - self.began)


@attrs.define(eq=False)
class Tracks:
    """The tasks of a command by id, in the order in which they came."""

    label: Callable[[Request | None, str], str] = lambda _request, task_id: task_id
    clock: Callable[[], float] = time.monotonic
    by_id: dict[str, Track] = attrs.field(factory=dict[str, Track])
    _posts: dict[tuple[str | None, int], Request] = attrs.field(
        factory=dict[tuple[str | None, int], Request]
    )

    def follow(self, task_id: str) -> Track:
        """Return the track of a task, a new one if it is not known."""
        return self._track(Task(task_id), None)

    def note(self, event: Event) -> None:
        """Take in what happened."""
        match event:
            case SubmissionStarted(request, key):
                self._posts[key, id(request)] = request
            case SubmissionFailed(request, key):
                self._posts.pop((key, id(request)), None)
            case TaskSubmitted(task, request, key):
                self._posts.pop((key, id(request)), None)
                self._track(task, request).task = task
            case TaskUpdated(task, request):
                self._track(task, request).task = task
            case TaskEnded(_, task, error, request, seconds):
                track = self._track(task, request)
                track.task, track.error, track.seconds = task, error, seconds
                track.ended = True
            case DownloadProgress(output, received, total) if output.task_id in self.by_id:
                self.by_id[output.task_id].received[output.index] = (received, total)
            case Downloaded(output, path) if output.task_id in self.by_id:
                self.by_id[output.task_id].saved[output.index] = path
            case _:
                pass

    @property
    def posts(self) -> tuple[Request, ...]:
        """The submissions whose answer has not come."""
        return tuple(self._posts.values())

    def open_ids(self, *, saving: bool) -> tuple[str, ...]:
        """Return the ids of what is paid for and not brought home.

        Args:
            saving: Whether bringing home includes the files.
        """
        return tuple(
            task_id
            for task_id, track in self.by_id.items()
            if track.unfinished or (saving and track.unsaved)
        )

    def _track(self, task: Task, request: Request | None) -> Track:
        track = self.by_id.get(task.id)
        if track is None:
            label = self.label(request, task.id)
            track = self.by_id[task.id] = Track(task, request, self.clock(), label)
        return track


def share_of(track: Track, now: float) -> Share | None:
    """Return how far a task is, None if nobody can say.

    The server is asked seldom, so between two looks the clock goes on where its last word or the
    announced time stands.
    """
    if track.completed:
        return Share(1.0)
    said = track.task.progress
    estimate = track.task.task_info.estimated_time
    by_clock = track.age(now) / estimate if estimate and estimate > 0 else None
    if track.ended or track.task.status is TaskStatus.COMPLETED or by_clock is None:
        return None if said is None else Share(said / 100)
    by_clock = min(by_clock, _ALMOST)
    if said is None or by_clock > said / 100:
        return Share(by_clock, guessed=True)
    return Share(said / 100)
