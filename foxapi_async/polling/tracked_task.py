"""The state of one task, and what each poll means for it. No I/O, and no clock of its own."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

import attrs

from foxapi_async.errors import (
    AuthenticationError,
    FoxAPIError,
    InvalidResponseError,
    NotFoundError,
    TaskCancelledError,
    TaskFailedError,
    TaskTimeoutError,
)
from foxapi_async.http.codec import one_line
from foxapi_async.models import Task, TaskStatus, without_queries
from foxapi_async.options import Polling
from foxapi_async.polling.schedule import Schedule
from foxapi_async.requests import Request
from foxapi_async.retry import backoff

if TYPE_CHECKING:
    from foxapi_async.views import View

EMPTY_TIMEOUT: Final = 90.0
"""Seconds for which "completed" without outputs is polled again (reference 4.2 suggests 60 to 120)."""

MISSING_TIMEOUT: Final = 10.0
"""Seconds for which a task may be unknown (404) before the wait ends."""

_GIVE_UP_AFTER: Final = {"image": 600.0, "video": 1800.0, "audio": 900.0, "document": 1200.0}
"""Seconds by kind, from section 4.4 of the API reference."""

_LONGEST_PAUSE: Final = 10.0
"""Longest pause in seconds after a poll that failed, or that found no outputs yet."""


class TaskObserver(Protocol):
    """What follows a task: a waiter, an `updates` iterator, or the map operation that submitted it."""

    def task_changed(self, tracked: TrackedTask) -> None:
        """Take note of a new status or progress in ``tracked.latest``."""

    def task_ended(self, tracked: TrackedTask) -> None:
        """Take note of the end; ``tracked.error`` is None if the task is completed."""


@attrs.define(eq=False, repr=False, weakref_slot=False)
class TrackedTask:
    """The state of one task that has not ended, or of the wait for it.

    All times are in seconds: ``started``, ``deadline`` and ``due`` (of the next poll; infinite while
    none is planned) are moments on the loop's clock, ``running_at`` (the last poll that found the
    task running) and ``ended_at`` (the first that found it ended) are ages of the task. ``started``
    is the submission or, if ``attached``, the moment of attaching. ``jitter`` is the one of the
    planned poll, None if the schedule did not plan it. ``index`` is the position in the input of the
    map operation that submitted the task. ``polled`` tells whether a poll has succeeded.

    100,000 tasks may be in flight, so that each holds as few containers as possible: the tuple
    ``observers`` is shared by all tasks of a map operation (`benchmarks.scale`).
    """

    id: str
    latest: Task
    started: float
    deadline: float
    request: Request | None = None
    key: str | None = None
    group: Hashable = None
    estimate: float | None = None
    attached: bool = False
    images: int = 0
    index: int = 0
    view: View | None = None
    observers: tuple[TaskObserver, ...] = ()
    due: float = math.inf
    jitter: float | None = None
    running_at: float = 0.0
    ended_at: float | None = None
    ended: bool = False
    error: FoxAPIError | None = None
    polled: bool = False
    _failures: int = 0
    _last_failure: FoxAPIError | None = None
    _missing_since: float | None = None

    @property
    def awaits_outputs(self) -> bool:
        """Whether the task is completed, but its outputs have not appeared yet."""
        return self.ended_at is not None and not self.ended

    def add_observer(self, observer: TaskObserver) -> None:
        """Tell an observer of changes and of the end."""
        self.observers = (*self.observers, observer)

    def remove_observer(self, observer: TaskObserver) -> None:
        """Tell an observer no more."""
        self.observers = tuple(each for each in self.observers if each is not observer)

    def apply(self, task: Task, now: float) -> bool:
        """Take in the answer to a poll; return whether status or progress changed.

        Afterwards ``ended`` and ``error`` tell whether the wait is over.
        """
        if self.ended:
            return False
        before, self.latest = self.latest, task
        self._failures = 0
        self._last_failure = self._missing_since = None
        age = now - self.started
        if task.status is TaskStatus.COMPLETED and not task.outputs:
            # Not a change: an observer would take "completed" for the end.
            self._wait_for_outputs(age)
            return False
        changed = (
            task.status is not before.status
            or task.progress != before.progress
            or self.ended_at is not None
        )
        if task.status.is_terminal:
            if self.ended_at is None:
                self.ended_at = age
            self.end(None if task.status is TaskStatus.COMPLETED else _error_of(task))
        else:
            announced = task.task_info.estimated_time
            self.estimate = rebase(self.estimate, self.running_at, announced, age)
            self.running_at = age
            self.ended_at = None
        return changed

    def poll_failed(self, error: FoxAPIError, now: float) -> None:
        """Take in a failed poll, which by itself never ends a wait.

        Only the API's own word does, an ``enveloped`` error: that the key is refused (``ends_run``, so
        it was confirmed), or for some time that there is no such task.
        """
        if self.ended:
            return
        self._failures += 1
        self._last_failure = error
        if isinstance(error, AuthenticationError) and error.ends_run:
            self.end(error)
        elif not (isinstance(error, NotFoundError) and error.enveloped):
            self._missing_since = None
        elif self._missing_since is None:
            # Right after the submission a task may not be known everywhere yet.
            self._missing_since = now
        elif now - self._missing_since >= MISSING_TIMEOUT:
            self.end(error)

    def expire(self) -> None:
        """End the wait because the deadline has passed."""
        self.end(
            self.timeout_error(
                f"was still {self.words()} after {self.deadline - self.started:g} s",
                "it continues on the server and is billed: "
                f"session.attach({self.id!r}) waits for it again",
            )
        )

    def timeout_error(self, happened: str, advice: str) -> TaskTimeoutError:
        """Return the error of a wait that ends before the task; its cause is the last failed poll."""
        failed = self._failures
        if failed and not self.polled:
            last = self._last_failure
            happened += f"; no poll succeeded: {failed} failed, the last one with: {last}"
        elif not self.polled:
            happened += "; no poll was answered in that time"
        error = TaskTimeoutError(
            f"task {self.id} {happened}; {advice}",
            task_id=self.id,
            task=self.latest,
            no_poll_succeeded=failed > 0 and not self.polled,
        )
        error.__cause__ = self._last_failure
        return error

    def words(self) -> str:
        """Return the status in words, for an error."""
        status = self.latest.status
        if status is not TaskStatus.OTHER:
            return f"{status.value}{' without outputs' if self.awaits_outputs else ''}"
        said = one_line(without_queries(str(self.latest.raw.get("status"))), longest=80)
        words = f"{said!r}, a status that this release does not know"
        outputs = len(self.latest.outputs)
        return words + (
            f", although {outputs} outputs are there (error.task.outputs)" if outputs else ""
        )

    def end(self, error: FoxAPIError | None) -> None:
        """End the wait, with an error unless the task is completed. The first end counts."""
        if not self.ended:
            self.ended = True
            self.error = error

    def result(self) -> Task:
        """Return the completed task, or raise what ended the wait."""
        if self.error is not None:
            raise self.error.again()
        return self.latest

    def next_poll(
        self, schedule: Schedule, polling: Polling, now: float, jitter: float
    ) -> float | None:
        """Return the moment of the next poll; None if the deadline comes first."""
        self.jitter = None
        last_poll = self._last_poll()
        if now >= last_poll:
            return None
        age = now - self.started
        if self._failures:
            pause = backoff(
                self._failures,
                first=2 * polling.min_interval,
                longest=longest_pause(polling),
                jitter=jitter,
            )
            due = now + max(pause, polling.min_interval)
        elif self.ended_at is not None:
            pause = max(polling.min_interval, (age - self.ended_at) / 2)
            due = now + min(pause, longest_pause(polling))
        else:
            self.jitter = jitter
            age = schedule.next_poll(self.group, self.estimate, age, jitter=jitter)
            due = self.started + age
        return min(due, last_poll)

    def replanned(self, schedule: Schedule) -> float:
        """Return when the next poll is due by what is known now; that may be in the past.

        A poll that is under way, or that the schedule did not plan, keeps its moment. The jitter
        stays the same: of several draws the earliest would win.
        """
        if self.jitter is None or self.due == math.inf:
            return self.due
        age = schedule.next_poll(self.group, self.estimate, self.running_at, jitter=self.jitter)
        return min(self.started + age, self._last_poll())

    def _last_poll(self) -> float:
        return self.deadline - min(2.0, (self.deadline - self.started) / 10)

    def _wait_for_outputs(self, age: float) -> None:
        if self.ended_at is None:
            self.ended_at = age
        elif age - self.ended_at >= EMPTY_TIMEOUT:
            self.end(
                InvalidResponseError(
                    f"task {self.id} is completed, but the server has listed no outputs for "
                    f"{EMPTY_TIMEOUT:g} s; it is billed, and outputs may still appear: "
                    f"session.attach({self.id!r}) polls it again",
                    status=200,
                    task_id=self.id,
                )
            )


def give_up_after(polling: Polling, kind: str | None) -> float:
    """Return the seconds after its submission at which waiting for a task of a kind ends."""
    if polling.give_up_after is not None:
        return polling.give_up_after
    return max(_GIVE_UP_AFTER.values()) if kind is None else _GIVE_UP_AFTER.get(kind, 600.0)


def longest_pause(polling: Polling) -> float:
    """Return the longest pause in seconds after a poll that failed or that found no outputs yet."""
    return max(polling.min_interval, min(polling.max_interval, _LONGEST_PAUSE))


def rebase(
    estimate: float | None, then: float, announced: float | None, now: float
) -> float | None:
    """Return the estimated duration of a task (seconds) after an announcement at the age ``now``; 0 and None are none.

    A server may repeat the whole duration or count down the remaining time. It counts down if age
    plus announcement changed less than the announcement itself. ``then`` is the age at the last poll.
    """
    if not announced:
        return estimate
    if estimate is None or then == 0.0 == now:
        return announced
    total = now + announced
    return total if abs(total - estimate) < abs(announced - estimate) else announced


def group_of(model: str, outputs: int, payload: Mapping[str, object]) -> Hashable:
    """Return the group of tasks that take about as long: same model, resolution, class of outputs."""
    resolution = payload.get("resolution") or payload.get("quality") or payload.get("size")
    # Outputs 1, 2, 3-4, 5-8, …: one class per number would learn too slowly.
    return _group(model, str(resolution), (outputs - 1).bit_length())


@lru_cache(maxsize=1024)
def _group(*parts: object) -> Hashable:
    """Return the same tuple for equal parts, so that 100,000 tasks share it."""
    return parts


def _error_of(task: Task) -> FoxAPIError:
    said = task.error
    parts = (said.code, said.message) if said is not None else ()
    words = without_queries(one_line(": ".join(part for part in parts if part)))
    if task.status is TaskStatus.CANCELLED:
        return TaskCancelledError(
            f"task {task.id} was cancelled at the server" + (f" ({words})" if words else ""),
            task_id=task.id,
            task=task,
        )
    return TaskFailedError(
        f"task {task.id} failed ({words or 'unknown_error'}); it is not submitted again "
        "automatically, because a new submission is billed again",
        task_id=task.id,
        task=task,
    )
