"""The tasks of a session that have not ended.

The one place that knows what happens, and in which order, when a task starts, changes or ends:
remember it, write the journal, free its slots, emit the event, wake its observers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import anyio

from foxapi_async.errors import (
    ConfigurationError,
    FoxAPIError,
    SessionClosedError,
    TaskCancelledError,
    TaskFailedError,
)
from foxapi_async.events import EventEmitter, PollFailed, TaskEnded, TaskSubmitted, TaskUpdated
from foxapi_async.limits.limiter import Limiter
from foxapi_async.models import Task
from foxapi_async.options import Polling
from foxapi_async.polling.poll_queue import PollQueue
from foxapi_async.polling.schedule import Schedule
from foxapi_async.polling.tracked_task import TrackedTask, give_up_after, group_of
from foxapi_async.statistics import Counters
from foxapi_async.submission import Submission

if TYPE_CHECKING:
    from foxapi_async.journal import Entry, SessionJournal
    from foxapi_async.views import View

_log = logging.getLogger("foxapi_async")

_IDS_PER_LINE: Final = 50
_MOST_RECENT_IDS: Final = 4096
"""A task is ours only if it was created since its POST, so older ids cannot be taken for new ones."""


class TaskRegistry:
    """Tracks tasks from the moment that their id is known to the end of the wait."""

    def __init__(
        self,
        *,
        schedule: Schedule,
        polling: Polling,
        limiter: Limiter,
        journal: SessionJournal | None,
        events: EventEmitter,
        counters: Counters,
    ) -> None:
        self.tasks: dict[str, TrackedTask] = {}
        self.recent_ids: dict[str, None] = {}
        """The ids that were tracked last, also those of tasks that have ended."""
        self._ends: dict[str, anyio.Event] = {}
        self.queue: PollQueue = PollQueue(self.tasks, schedule, polling)
        self._polling = polling
        self._limiter = limiter
        self._journal = journal
        self._events = events
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self.closed: bool = False
        self.fault: BaseException | None = None
        """What ended the session, if it was a fault of ours."""

    def check(self) -> None:
        """Refuse a call after the end of the session, or from another event loop."""
        if self.closed:
            raise SessionClosedError("the session has ended; open a new one") from self.fault
        self.check_loop()

    def check_loop(self) -> None:
        """Refuse a call from another event loop."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is not self._loop:
            raise ConfigurationError(
                "the session was opened in another event loop; open a session in the loop that uses it"
            )

    def knows(self, task_id: str) -> bool:
        """Return whether the task is in flight or was tracked lately."""
        return task_id in self.tasks or task_id in self.recent_ids

    async def track(self, task: Task, submission: Submission) -> None:
        """Track a task that a submission has just created.

        Polling starts when the id is in the journal, so that the answer to the POST, which is
        older, never follows that to a poll. If the journal cannot record the id, its error is
        raised, and the task is tracked all the same.
        """
        images, now, view = submission.outputs, self._clock(), submission.view
        polling = self._polling if view is None else view.polling
        tracked = submission.tracked = TrackedTask(
            task.id,
            task,
            started=now,
            deadline=now + give_up_after(polling, submission.kind),
            view=view,
            request=submission.request,
            key=submission.key,
            group=submission.group,
            estimate=task.task_info.estimated_time,
            images=images,
        )
        self._add(tracked)
        submission.sending = False  # until here a fault of ours leaves the outcome unknown
        self._counters.submitted += 1
        self._counters.images_billed += images
        self._counters.progress += 1
        _log.info(
            "task %s was created (%s, %d outputs)",
            task.id,
            submission.model,
            images,
            extra=_about(tracked),
        )
        try:
            if submission.claim is not None:
                with anyio.CancelScope(shield=True):
                    await submission.claim.accepted(task.id, task.task_info.estimated_time)
        finally:
            if not tracked.ended:  # the session may have closed meanwhile
                if self._events.has_listener:
                    self._events.emit(TaskSubmitted(task, submission.request, submission.key))
                self.queue.add(tracked, self._clock())
                self.update(tracked, task, polled=False)

    def resume(self, entry: Entry, submission: Submission) -> None:
        """Track the task of a journal entry, which an earlier submission of the key has created."""
        assert entry.task_id is not None
        tracked = self.tasks.get(entry.task_id)
        if tracked is None:
            # Billed by the earlier submission, but still in flight at the server.
            images = entry.num_outputs if entry.is_under_way else 0
            age = (datetime.now(UTC) - (entry.submitted or entry.updated)).total_seconds()
            now = self._clock()
            tracked = TrackedTask(
                entry.task_id,
                Task(entry.task_id),
                started=now - max(0.0, age),
                deadline=now + give_up_after(self._polling_of(submission.view), submission.kind),
                view=submission.view,
                request=submission.request,
                key=submission.key,
                group=group_of(submission.model, submission.outputs, entry.payload),
                estimate=entry.estimated_time,
                attached=True,
                images=images,
            )
            self._limiter.task_resumed(images)
            self._attach(tracked, now)
        submission.tracked = tracked

    def attach(
        self, task_id: str, estimated_time: float | None, view: View | None = None
    ) -> TrackedTask:
        """Track a task of which only the id is known."""
        tracked = self.tasks.get(task_id)
        if tracked is None:
            now = self._clock()
            tracked = TrackedTask(
                task_id,
                Task(task_id),
                started=now,
                deadline=now + give_up_after(self._polling_of(view), None),
                view=view,
                estimate=estimated_time,
                attached=True,
            )
            self._attach(tracked, now)
        return tracked

    def update(self, tracked: TrackedTask, task: Task, *, polled: bool = True) -> None:
        """Take in what the server says of a task, as the answer to a poll or to the POST."""
        if self.tasks.get(tracked.id) is not tracked:
            return
        tracked.polled |= polled
        before = tracked.running_at
        if tracked.apply(task, self._clock()):
            if self._events.has_listener:
                self._events.emit(TaskUpdated(task, tracked.request))
            for observer in tracked.observers:
                observer.task_changed(tracked)
        if tracked.ended:
            self._settle(tracked)
        else:
            self.queue.learn_running(tracked, before)

    def poll_failed(self, tracked: TrackedTask, error: FoxAPIError) -> None:
        """Take in that a poll failed."""
        self._counters.polls_failed += 1
        _log.debug("polling task %s failed: %s", tracked.id, error, extra=_about(tracked))
        self._events.emit(PollFailed(tracked.id, error))
        if self.tasks.get(tracked.id) is tracked:
            tracked.poll_failed(error, self._clock())
            if tracked.ended:
                self._settle(tracked)

    def expire(self, tracked: TrackedTask) -> None:
        """End the wait for a task whose deadline has passed."""
        if not tracked.ended:
            tracked.expire()
            self._settle(tracked)

    def close(self, tasks: Sequence[TrackedTask]) -> None:
        """End the wait for tasks of this registry because the session ends."""
        for tracked in tasks:
            if tracked.ended:
                continue
            error = SessionClosedError(
                f"the session ended while task {tracked.id} was in flight; it continues on the "
                f"server and is billed: session.attach({tracked.id!r}) waits for it again",
                task_id=tracked.id,
            )
            error.__cause__ = self.fault
            tracked.end(error)
            self._settle(tracked)

    def log_in_flight(self) -> None:
        """Log the ids of all tasks in flight, because the session ends."""
        ids = list(self.tasks)
        for start in range(0, len(ids), _IDS_PER_LINE):
            _log.warning(
                "the session ends with tasks in flight; they continue on the server and are "
                "billed, session.attach(id) waits for them again: %s",
                ", ".join(ids[start : start + _IDS_PER_LINE]),
            )

    async def wait(self, tracked: TrackedTask, timeout: float | None) -> Task:
        """Wait for a task; see `TaskHandle.wait`."""
        if not tracked.ended:
            # One event serves all waiters of a task. Nothing waits for most tasks of a map operation.
            end = self._ends.get(tracked.id)
            if end is None:
                end = self._ends[tracked.id] = anyio.Event()
            with anyio.move_on_after(timeout):
                await end.wait()
        if not tracked.ended:
            raise tracked.timeout_error(
                f"is still {tracked.words()} after waiting {timeout:g} s",
                "it continues on the server, and the session still tracks it",
            )
        return tracked.result()

    def _polling_of(self, view: View | None) -> Polling:
        return self._polling if view is None else view.polling

    def _add(self, tracked: TrackedTask) -> None:
        self.tasks[tracked.id] = tracked
        self.recent_ids[tracked.id] = None
        if len(self.recent_ids) > _MOST_RECENT_IDS:
            del self.recent_ids[next(iter(self.recent_ids))]

    def _attach(self, tracked: TrackedTask, now: float) -> None:
        self._add(tracked)
        self.queue.add(tracked, now, first_poll=now)

    def _settle(self, tracked: TrackedTask) -> None:
        """Do what follows from the end of a task or of its wait."""
        del self.tasks[tracked.id]
        # Before the listener runs, which may attach the same id again.
        end = self._ends.pop(tracked.id, None)
        error, age = tracked.error, self._clock() - tracked.started
        failed = isinstance(error, TaskFailedError | TaskCancelledError)
        self._counters.progress += 1
        if error is None:
            self._counters.completed += 1
            _log.info("task %s is completed after %.1f s", tracked.id, age, extra=_about(tracked))
        else:
            if failed:
                self._counters.failed += 1
            else:
                self._counters.unfinished += 1
            _log.info("task %s: %s", tracked.id, error, extra=_about(tracked))
        if error is None or failed:
            self.queue.learn_end(tracked, age)
            self._record_end(tracked.latest)
        if tracked.images:
            self._limiter.task_ended(tracked.images)
        if self._events.has_listener:
            self._events.emit(TaskEnded(tracked.id, tracked.latest, error, tracked.request, age))
        if end is not None:
            end.set()
        observers, tracked.observers = tracked.observers, ()
        for observer in observers:
            observer.task_ended(tracked)

    def _record_end(self, task: Task) -> None:
        if self._journal is None:
            return
        try:
            self._journal.ended(task.id, task.status, error=task.error)
        except FoxAPIError as error:
            # The waiters must learn of the end all the same. The next session with
            # this journal polls the task again.
            _log.error(
                "the end of task %s was not recorded: %s",
                task.id,
                error,
                extra={"task_id": task.id},
            )


def _about(tracked: TrackedTask) -> dict[str, str | None]:
    """Return the attributes of a log record about a task."""
    return {"task_id": tracked.id, "key": tracked.key}
