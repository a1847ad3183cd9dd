"""What is known of one task, and what each look means for it. No I/O, and no clock of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache, partial
from typing import Final

import attrs

from foxapi_async.backoff import backoff
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
from foxapi_async.models import Task, TaskStatus
from foxapi_async.options import Polling
from foxapi_async.polling.schedule import Schedule
from foxapi_async.requests import Request

__all__ = ["TrackedTask", "group_of", "longest_pause", "rebase"]

EMPTY_PATIENCE: Final = 90.0
"""Seconds for which "completed" without outputs is asked again (reference 4.2 suggests 60 to 120)."""

MISSING_PATIENCE: Final = 10.0
"""Seconds for which a task may be unknown (404) before that is believed."""

_SLOWEST_AGAIN: Final = 10.0
"""Longest pause in seconds before a look that failed, or that found nothing yet, is repeated."""


@attrs.define(eq=False, repr=False, weakref_slot=False)
class TrackedTask:
    """One task that is waited for.

    All times are in seconds: ``born``, ``deadline`` and ``due`` (of the next look,
    infinite while there is none planned) are moments on the session's clock,
    ``ran_until`` and ``first_seen_ended`` ages of the task. ``jitter`` is the one that the next look was planned
    with, None if it does not go by the schedule. ``born`` is the submission, or the
    attaching of a task that was submitted elsewhere (then ``adopted`` is true). ``keeper`` is told
    of the end first, then ``taker``: the run for which the task was submitted, with the ``index`` of
    its request. These two are bound methods that all tasks share; each task costs as little memory,
    and as few containers for the garbage collector, as can be.
    """

    latest: Task
    born: float
    deadline: float
    request: Request | None = None
    key: str | None = None
    group: Hashable = None
    estimate: float | None = None
    adopted: bool = False
    images: int = 0
    due: float = math.inf
    jitter: float | None = None
    ran_until: float = 0.0
    first_seen_ended: float | None = None
    ended: bool = False
    error: FoxAPIError | None = None
    keeper: Callable[[TrackedTask], None] | None = None
    taker: Callable[[TrackedTask], None] | None = None
    index: int = 0
    _on_end: list[Callable[[], None]] | None = None
    _on_change: list[Callable[[Task], None]] | None = None
    _failures: int = 0
    _last_failure: FoxAPIError | None = None
    _missing_since: float | None = None

    @property
    def id(self) -> str:
        """The id of the task."""
        return self.latest.id

    @property
    def on_end(self) -> list[Callable[[], None]]:
        """Who else is told of the end; made when it is asked for, because most tasks have nobody."""
        if self._on_end is None:
            self._on_end = []
        return self._on_end

    @property
    def on_change(self) -> list[Callable[[Task], None]]:
        """Who is told of each change; made when it is asked for, because most tasks have nobody."""
        if self._on_change is None:
            self._on_change = []
        return self._on_change

    @property
    def awaits_outputs(self) -> bool:
        """Whether the task is completed, but its outputs are still to come."""
        return self.first_seen_ended is not None and not self.ended

    def saw(self, task: Task, now: float) -> None:
        """Take in what a look found, and tell those who follow the task or wait for it."""
        if self.ended:
            return
        before, self.latest = self.latest, task
        self._failures = 0
        self._last_failure = self._missing_since = None
        if task.status is TaskStatus.COMPLETED and not task.outputs:
            # Not told as a change: who follows the task would take "completed" for its end.
            self._saw_nothing(now)
            return
        if (task.status, task.progress) != (before.status, before.progress) or self.awaits_outputs:
            for tell in tuple(self._on_change or ()):
                tell(task)
        age = now - self.born
        if task.status.is_terminal:
            if self.first_seen_ended is None:
                self.first_seen_ended = age
            self.finish(_error_of(task))
        else:
            announced = task.task_info.estimated_time
            self.estimate = rebase(self.estimate, self.ran_until, announced, age)
            self.ran_until = age
            self.first_seen_ended = None

    def missed(self, error: FoxAPIError, now: float) -> None:
        """Take in that a look failed, which by itself never ends a wait."""
        if self.ended:
            return
        self._failures += 1
        self._last_failure = error
        if isinstance(error, AuthenticationError):
            self.finish(error)
        elif not isinstance(error, NotFoundError):
            self._missing_since = None
        elif self._missing_since is None:
            # Right after its submission a task may not be known everywhere yet.
            self._missing_since = now
        elif now - self._missing_since >= MISSING_PATIENCE:
            self.finish(error)

    def expire(self) -> None:
        """End the wait because its time is up."""
        waited = self.deadline - self.born
        where = self.latest.status.value + (" without outputs" if self.awaits_outputs else "")
        error = TaskTimeoutError(
            f"task {self.id} was still {where} after {waited:g} s; it goes on "
            f"at the server and is billed: session.attach({self.id!r}) waits for it again",
            task_id=self.id,
            task=self.latest,
        )
        error.__cause__ = self._last_failure
        self.finish(error)

    def finish(self, error: FoxAPIError | None) -> None:
        """End the wait and tell all who wait."""
        if self.ended:
            return
        self.ended = True
        self.error = error
        told, self._on_end, self._on_change = self._on_end or (), None, None
        first = (partial(tell, self) for tell in (self.keeper, self.taker) if tell is not None)
        fault: Exception | None = None
        for tell in (*first, *told):
            try:
                tell()
            except Exception as trouble:  # noqa: BLE001 - keep it from nobody else
                fault = fault or trouble
        if fault is not None:
            raise fault

    def result(self) -> Task:
        """Return the completed task, or raise what ended the wait."""
        if self.error is not None:
            raise self.error.again()
        return self.latest

    def next_poll(
        self, schedule: Schedule, polling: Polling, now: float, jitter: float
    ) -> float | None:
        """Return the moment of the next look; None if the deadline comes first."""
        self.jitter = None
        last_chance = self._last_chance()
        if now >= last_chance:
            return None
        return min(self._wanted_look(schedule, polling, now, jitter), last_chance)

    def reconsidered(self, schedule: Schedule) -> float:
        """Return when the next look is due by what is known by now, which may be past.

        It stays as it is if it does not go by the schedule or is under way. The same jitter is used again: with a new
        one, the soonest of several draws would win.
        """
        if self.jitter is None or self.due == math.inf:
            return self.due
        age = schedule.next_poll(self.group, self.estimate, self.ran_until, jitter=self.jitter)
        return min(self.born + age, self._last_chance())

    def _last_chance(self) -> float:
        return self.deadline - min(2.0, (self.deadline - self.born) / 10)

    def _wanted_look(
        self, schedule: Schedule, polling: Polling, now: float, jitter: float
    ) -> float:
        slowest = longest_pause(polling)
        if self._failures:
            pause = backoff(
                self._failures, first=2 * polling.min_interval, longest=slowest, jitter=jitter
            )
            return now + max(pause, polling.min_interval)
        age = now - self.born
        if self.first_seen_ended is not None:
            waited = age - self.first_seen_ended
            return now + min(max(polling.min_interval, waited / 2), slowest)
        self.jitter = jitter
        return self.born + schedule.next_poll(self.group, self.estimate, age, jitter=jitter)

    def _saw_nothing(self, now: float) -> None:
        age = now - self.born
        if self.first_seen_ended is None:
            self.first_seen_ended = age
        elif age - self.first_seen_ended >= EMPTY_PATIENCE:
            self.finish(
                InvalidResponseError(
                    f"task {self.id} is completed, but for {EMPTY_PATIENCE:g} s the server has "
                    "listed no outputs; it is billed, and they may still appear: "
                    f"session.attach({self.id!r}) looks again",
                    status=200,
                    task_id=self.id,
                )
            )


def longest_pause(polling: Polling) -> float:
    """Return after how many seconds at most a look is repeated that failed, or that found nothing yet."""
    return max(polling.min_interval, min(polling.max_interval, _SLOWEST_AGAIN))


def rebase(
    estimate: float | None, then: float, announced: float | None, now: float
) -> float | None:
    """Return the estimated duration of a task after the server has announced a figure again.

    A server may repeat the whole duration or count down the rest. It counts down if age plus figure
    stayed the same more nearly than the figure itself.

    Args:
        estimate: The duration as estimated so far, in seconds; None if it is not.
        then: The age of the task at the last look, in seconds.
        announced: The figure now, in seconds; None or 0 is no information.
        now: The age of the task now, in seconds.
    """
    if not announced:
        return estimate
    if estimate is None or then == 0.0 == now:
        return announced
    total = now + announced
    return total if abs(total - estimate) < abs(announced - estimate) else announced


def group_of(model: str, outputs: int, payload: Mapping[str, object]) -> Hashable:
    """Return which tasks take about as long: same model, resolution and size class of outputs."""
    resolution = payload.get("resolution") or payload.get("quality") or payload.get("size")
    # Outputs 1, 2, 3-4, 5-8, …: a class for each would learn too slowly.
    return _group(model, str(resolution), (outputs - 1).bit_length())


@lru_cache(maxsize=1024)
def _group(*parts: object) -> Hashable:
    """Return one and the same tuple for equal parts: a hundred thousand tasks need no copies of it."""
    return parts


def _error_of(task: Task) -> FoxAPIError | None:
    if task.status is TaskStatus.COMPLETED:
        return None
    why = task.error
    words = ": ".join(part for part in (why.code, why.message) if part) if why is not None else ""
    words = one_line(words)
    if task.status is TaskStatus.CANCELLED:
        return TaskCancelledError(
            f"task {task.id} was cancelled at the server" + (f" ({words})" if words else ""),
            task_id=task.id,
            task=task,
        )
    return TaskFailedError(
        f"task {task.id} failed ({words or 'unknown_error'}); it is not run again by itself, "
        "because a new submission is a new charge",
        task_id=task.id,
        task=task,
    )
