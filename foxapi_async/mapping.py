"""`session.map`: many requests, read lazily and submitted within the limits."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Final

import anyio
import attrs

from foxapi_async._concurrency import Signal, Supervisor
from foxapi_async.errors import (
    ConfigurationError,
    FoxAPIError,
    SessionClosedError,
)
from foxapi_async.map_input import Item, iterate, key_and_request
from foxapi_async.models import Task
from foxapi_async.outcome import Outcome
from foxapi_async.polling.tracked_task import TrackedTask
from foxapi_async.refusal_streak import RefusalStreak
from foxapi_async.registry import TaskRegistry
from foxapi_async.requests import Request
from foxapi_async.submission import Submission
from foxapi_async.submitter import Submitter

if TYPE_CHECKING:
    from foxapi_async.views import View

_EXTRA_WINDOW: Final = 64

_CONCURRENT_CLAIMS: Final = 64
"""Keys that the journal is asked for at once: they share one commit, which takes about as long as
sixty POSTs."""


class OutcomeIterator(AsyncIterator[Outcome]):
    """The outcomes of `session.map`, each as soon as it is known.

    Nothing is read from the input, and nothing is submitted, before the first outcome is asked for.
    After a ``break``, or after `aclose`, nothing more is submitted; tasks in flight stay in
    ``session.in_flight``.
    """

    def __init__(self, operation: MapOperation) -> None:
        self._operation = operation
        self._started = False
        self._loop = asyncio.get_running_loop()
        # A `break` in `async for` drops the iterator without any call.
        weakref.finalize(self, _cancel_soon, operation, self._loop)

    async def __anext__(self) -> Outcome:
        if asyncio.get_running_loop() is not self._loop:
            raise ConfigurationError(
                "the outcomes are read in another event loop than that of the session"
            )
        if not self._started:
            self._operation.start()
            self._started = True
        return await self._operation.next_outcome()

    @property
    def stopped_by(self) -> FoxAPIError | None:
        """Why nothing more is submitted; None while everything is."""
        return self._operation.stop_reason()

    def send_one_first(self) -> None:
        """Let one POST leave and hold the others until it has got a clear answer."""
        self._operation.send_one_first()

    def watch_tasks(self, watch: Callable[[str | None, Task], None]) -> None:
        """Call a function with the key and the task whenever one starts, or changes status or progress."""
        self._operation.watch = watch

    def stop_submitting(self, reason: FoxAPIError) -> None:
        """Submit nothing more; what was read and not sent is "not_submitted", a POST is finished."""
        self._operation.stop_submitting(reason)

    def stop_reading(self) -> None:
        """Read no more of the input; what was read is still submitted."""
        self._operation.stop_reading()

    async def aclose(self) -> None:
        """Submit nothing more, and end the iteration."""
        self._operation.cancel()

    async def wait_for_posts(self) -> None:
        """Wait for the ends of the submissions under way; after `aclose`, of the POSTs that have left."""
        await self._operation.wait_for_posts()


class MapOperation:
    """One call of `session.map`: reads the input, submits it, and collects the outcomes."""

    def __init__(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        *,
        submitter: Submitter,
        supervisor: Supervisor,
        registry: TaskRegistry,
        operations: set[MapOperation],
        outputs: int,
        ordered: bool,
        view: View | None = None,
    ) -> None:
        self._items = items
        self._submitter = submitter
        self._supervisor = supervisor
        self._registry = registry
        self._operations = operations
        self._ordered = ordered
        self._view = view
        self.watch: Callable[[str | None, Task], None] | None = None
        # Requests that were read and whose outcome was not yet yielded: as many as can be in flight,
        # and as many again that wait for the caller. A slow caller thus halts the operation before it
        # fills the memory.
        self._window = 2 * outputs + _EXTRA_WINDOW
        self._open = 0
        self._next_index = 0
        self._outcomes: deque[Outcome] = deque()
        self._early: dict[int, Outcome] = {}
        self._submissions: set[Submission] = set()
        self._reading = True
        self._cancelled = False
        self._closing = False
        self._items_read = 0
        # Requests that wait for the answer of the journal, or for slots after that.
        self._claims_pending = 0
        self._outputs_pending = 0
        self._fatal: FoxAPIError | None = None
        self._streak = RefusalStreak()
        self._input_error: Exception | None = None
        self._scope = anyio.CancelScope()
        self._observers = (self,)
        self._outcome_added = Signal()
        self._space_freed = Signal()

    def start(self) -> None:
        """Begin to read the input, unless the session has ended."""
        self._registry.check()
        self._operations.add(self)
        self._supervisor.start(self._run)

    def cancel(self) -> None:
        """Submit nothing more, because nothing reads the outcomes any more."""
        self._cancelled = True
        self._outcomes.clear()
        self._early.clear()
        self.stop_reading()
        for submission in tuple(self._submissions):
            submission.cancel()

    def stop_submitting(self, reason: FoxAPIError) -> None:
        """Submit nothing more; outcomes of tasks in flight still follow."""
        if self._fatal is None:
            self._fatal = reason
        self.stop_reading()
        for submission in tuple(self._submissions):
            submission.cancel()

    def close(self) -> None:
        """Submit nothing more, because the session ends; known outcomes still follow."""
        self._closing = True
        if self._reading:
            self._input_error = SessionClosedError(
                f"the session ended after {self._items_read} requests of the input were read"
            )
        self.stop_reading()

    def stop_reading(self) -> None:
        """Read no more of the input."""
        # An iterator that outlives its event loop stops here when it is collected, and a scope can be
        # cancelled only inside a loop; by then the reading has long ended.
        if self._reading:
            self._reading = False
            self._scope.cancel()
        self._outcome_added.set()

    async def next_outcome(self) -> Outcome:
        """Wait for the next outcome; raise StopAsyncIteration if there is none left."""
        while not self._outcomes:
            if self._cancelled or not (self._reading or self._open):
                error, self._input_error = self._input_error, None
                if error is not None and not self._cancelled:
                    raise error
                raise StopAsyncIteration
            await self._outcome_added.wait()
        self._open -= 1
        self._space_freed.set()
        return self._outcomes.popleft()

    def stop_reason(self) -> FoxAPIError | None:
        """Return the fatal answer after which nothing more is submitted."""
        return self._fatal

    def note_fatal(self, error: FoxAPIError) -> None:
        """Submit nothing more; the rest of the input is read, and is "not_submitted"."""
        if self._fatal is None:
            self._fatal = error

    def send_one_first(self) -> None:
        """Let one POST leave and hold the others until it has got a clear answer."""
        self._submitter.send_one_first()

    async def wait_for_posts(self) -> None:
        """Wait for the ends of the submissions under way."""
        await self._submitter.wait_for(tuple(self._submissions))

    def submission_finished(self, submission: Submission) -> None:
        """Take the outcome of a submission, or follow its task."""
        self._submissions.discard(submission)
        tracked = submission.tracked
        if tracked is not None and self.watch is not None:
            self.watch(submission.key, tracked.latest)
        if tracked is None:
            error = submission.failure()
            if submission.stopped and self._fatal is not None:
                self._add_not_submitted(submission, self._fatal)
                return
            if (fatal := self._streak.add(error)) is not None:
                self.note_fatal(fatal)
            self._add_error(submission, error)
        elif tracked.ended:
            self._add_outcome_of(tracked, submission.request, submission.key, submission.index)
        elif (
            not tracked.observers
            and tracked.request is submission.request
            and tracked.key == submission.key
        ):
            # Most tasks: the tuple and this object serve them all.
            tracked.observers, tracked.index = self._observers, submission.index
            self._streak.reset()
        else:
            self._streak.reset()
            tracked.add_observer(_OutcomeObserver(self, submission))

    def task_changed(self, tracked: TrackedTask) -> None:
        """Pass the change to the function that watches; only ends are outcomes."""
        if self.watch is not None:
            self.watch(tracked.key, tracked.latest)

    def task_ended(self, tracked: TrackedTask) -> None:
        """Take the outcome of a task that this operation submitted."""
        assert tracked.request is not None
        self._add_outcome_of(tracked, tracked.request, tracked.key, tracked.index)

    async def _run(self) -> None:
        try:
            with self._scope:
                await self._read()
        except Exception as error:  # noqa: BLE001 - the input may raise anything
            self._input_error = error
        except anyio.get_cancelled_exc_class() as error:
            if self._closing:
                raise
            # Not our cancellation: the input awaited something that was cancelled.
            self._input_error = FoxAPIError("the input of map was cancelled")
            self._input_error.__cause__ = error
        finally:
            self._reading = False
            self._outcome_added.set()
            self._operations.discard(self)

    async def _read(self) -> None:
        async for item in iterate(self._items):
            # While outcomes wait to be read, the caller may have left: an iterator that is still
            # referenced after a `break` does not say so.
            while self._outcomes or self._open >= self._window:
                await self._space_freed.wait()
            index = self._items_read
            key, request = key_and_request(item, index)
            self._items_read += 1
            self._open += 1
            try:
                submission = Submission(request, key, index, owner=self, view=self._view)
            except FoxAPIError as error:
                self._put(Outcome.of_error(request, key, index, error, None))
                continue
            if not self._submitter.asks_journal(key):
                await self._submit(submission)
                continue
            self._claims_pending += 1
            self._outputs_pending += submission.outputs
            self._supervisor.start(self._claim_and_submit, submission)
            while self._is_far_ahead():
                await self._space_freed.wait()

    def _is_far_ahead(self) -> bool:
        """Whether pending claims must be submitted before more of the input is read."""
        return self._claims_pending > 0 and (
            self._claims_pending >= _CONCURRENT_CLAIMS
            or self._outputs_pending >= self._submitter.free_slots
        )

    async def _claim_and_submit(self, submission: Submission) -> None:
        """Submit beside others, because the answer of the journal takes a while."""
        scope = submission.scope = anyio.CancelScope()
        try:
            with scope:
                if submission.cancelled:
                    scope.cancel()
                await self._submit(submission)
        except Exception as error:  # noqa: BLE001 - whatever it was, the caller must learn of it
            self._input_error = error
            self.stop_reading()
        finally:
            if submission.scope is scope:  # the POST has a scope of its own
                submission.scope = None
            self._claims_pending -= 1
            self._outputs_pending -= submission.outputs
            self._space_freed.set()

    async def _submit(self, submission: Submission) -> None:
        if self._fatal is not None:
            self._add_not_submitted(submission, self._fatal)
            return
        self._submissions.add(submission)
        try:
            await self._submitter.start(submission)
        except FoxAPIError as error:
            self._submissions.discard(submission)
            self._add_error(submission, error)
        except anyio.get_cancelled_exc_class():
            self._submissions.discard(submission)
            closed = SessionClosedError(
                "the session ended before there was a free slot; nothing was sent"
            )
            self._add_not_submitted(submission, self._fatal or closed)
            raise
        except BaseException:
            self._submissions.discard(submission)
            self._open -= 1
            raise

    def _add_outcome_of(
        self, tracked: TrackedTask, request: Request, key: str | None, index: int
    ) -> None:
        if tracked.error is None:
            task, seconds = tracked.latest, tracked.ended_at
            outcome = Outcome(request, key, index, "completed", task, seconds=seconds)
        else:
            if getattr(tracked.error, "ends_run", False):
                self.note_fatal(tracked.error)
            outcome = Outcome.of_error(request, key, index, tracked.error.again(), tracked.latest)
        self._put(outcome)

    def _add_error(self, submission: Submission, error: FoxAPIError) -> None:
        request, key, index = submission.request, submission.key, submission.index
        self._put(Outcome.of_error(request, key, index, error, None))

    def _add_not_submitted(self, submission: Submission, error: FoxAPIError) -> None:
        request, key, index = submission.request, submission.key, submission.index
        self._put(Outcome(request, key, index, "not_submitted", None, error.again()))

    def _put(self, outcome: Outcome) -> None:
        if self._cancelled:
            return
        if not self._ordered:
            self._outcomes.append(outcome)
        else:
            self._early[outcome.index] = outcome
            while (ready := self._early.pop(self._next_index, None)) is not None:
                self._outcomes.append(ready)
                self._next_index += 1
        self._outcome_added.set()


@attrs.frozen(eq=False)
class _OutcomeObserver:
    """Follows a task that another submission of the same key has created."""

    operation: MapOperation
    submission: Submission

    def task_changed(self, tracked: TrackedTask) -> None:
        """Ignore changes: only ends are outcomes."""

    def task_ended(self, tracked: TrackedTask) -> None:  # noqa: ARG002
        self.operation.submission_finished(self.submission)


def _cancel_soon(operation: MapOperation, loop: asyncio.AbstractEventLoop) -> None:
    """Cancel an operation whose iterator was collected, perhaps in another thread."""
    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(operation.cancel)
