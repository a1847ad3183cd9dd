"""The one POST that bills, from the wait for room to the task id.

A POST is made by a task of the session, not of the caller: a caller who is cancelled leaves, but
what has begun to leave is finished, so that no billed task is without a known id.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel

from foxapi_async._concurrency import Supervisor, finish_despite_cancellation
from foxapi_async.errors import (
    APIConnectionError,
    FoxAPIError,
    InvalidResponseError,
    SessionClosedError,
)
from foxapi_async.events import EventEmitter, SubmissionFailed, SubmissionStarted, TaskSubmitted
from foxapi_async.http.codec import encode, read_task
from foxapi_async.http.responses import Answer, classify, from_exception
from foxapi_async.http.retry_rules import SUBMISSION_DECISIONS, RetryDecision
from foxapi_async.http.transport import Transport
from foxapi_async.limits.limiter import Limiter
from foxapi_async.limits.rate_scheduler import Lane
from foxapi_async.limits.slots import OutputSlots
from foxapi_async.models import Task
from foxapi_async.options import Retry
from foxapi_async.outcome import OutcomeStatus, status_of
from foxapi_async.polling.tracked_task import TrackedTask, group_of
from foxapi_async.retry import Tries
from foxapi_async.statistics import Counters
from foxapi_async.submission import Submission, before_sending, wrong_before_sent

if TYPE_CHECKING:
    from foxapi_async.journal import Claim, Entry, Journal

__all__ = ["Submitter"]

_log = logging.getLogger("foxapi_async")

_POSTS_AT_ONCE: Final = 64

_GRACE: Final = 5.0
"""Seconds beyond ``Timeout.request`` in which what came of a POST is written down."""


class Submitter:
    """Submits requests within the limits, each at most once unless it certainly created nothing."""

    def __init__(
        self,
        transport: Transport,
        *,
        budget: OutputSlots,
        gate: Limiter,
        retry: Retry,
        announce: EventEmitter,
        tally: Counters,
        nursery: Supervisor,
        journal: Journal | None,
        welcome: Callable[[Task, Submission], TrackedTask],
        resume: Callable[[Entry, Submission, int], TrackedTask],
        is_watched: Callable[[object], bool],
        awaited: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._budget = budget
        self._gate = gate
        self._retry = retry
        self._announce = announce
        self._tally = tally
        self._nursery = nursery
        self._journal = journal
        self._welcome = welcome
        self._resume = resume
        self._is_watched = is_watched
        self._awaited = awaited
        self._clock = clock
        self._posts = anyio.Semaphore(_POSTS_AT_ONCE, fast_acquire=True)
        self._flights: set[Submission] = set()
        self._closed = False

    @property
    def free_places(self) -> int:
        """How many more images may be in flight now."""
        return self._budget.places - self._budget.in_flight

    def asks_for(self, key: str | None) -> bool:
        """Whether `launch` must ask the journal for the key, which takes as long as a commit."""
        return key is not None and self._journal is not None

    async def launch(self, flight: Submission, start: Callable[[Submission], None]) -> None:
        """Wait for room, then ``start`` a task of the session that carries out the submission (`fly`).

        With a journal, a key that stands for a task already is not submitted: the flight has landed
        when this returns.

        Raises:
            InvalidRequestError: Heavier than the limit, or the key stands for another request.
            BudgetExceededError: More images than may be billed.
            SubmissionUnknownError: The key was sent before, and nobody knows what came of it.
        """
        if self._journal is not None:
            with before_sending():
                flight.claim = await self._journal.claim(flight.key, flight.request)
        try:
            if flight.claim is not None and flight.claim.entry is not None:
                self._pick_up(flight, flight.claim.entry)
                return
            await self._wait_for_room(flight)
        except BaseException as error:
            if flight.claim is not None and flight.claim.is_new:
                with anyio.CancelScope(shield=True):
                    await flight.claim.not_sent(error)
            raise
        self._flights.add(flight)
        start(flight)

    async def submit(self, flight: Submission) -> TrackedTask:
        """Launch a submission and wait until its task id is known."""
        await self.launch(flight, partial(self._nursery.start, self.fly))
        try:
            await flight.over()
        except BaseException:
            flight.abandon()
            await finish_despite_cancellation(flight.over)
            raise
        return flight.landed()

    async def aclose(self) -> None:
        """Take no more submissions, and wait for the POSTs that are under way."""
        self._closed = True
        for flight in tuple(self._flights):
            flight.abandon()
        for _ in range(2):  # turns of the event loop, in which every task that can has begun
            await anyio.lowlevel.checkpoint()
        for flight in tuple(self._flights):
            if flight.scope is None:  # somebody cancelled its task before it began
                flight.land()
        with anyio.move_on_after(self._transport.timeout.request + _GRACE):
            for flight in tuple(self._flights):
                await flight.over()

    async def _wait_for_room(self, flight: Submission) -> None:
        outputs = flight.outputs
        await self._budget.take(outputs)
        try:
            await self._posts.acquire()
        except BaseException:
            self._budget.refund(outputs)
            raise
        if self._closed:
            self._posts.release()
            self._budget.refund(outputs)
            raise SessionClosedError("the session has ended; nothing was sent")

    def _pick_up(self, flight: Submission, entry: Entry) -> None:
        if self._closed:
            raise SessionClosedError(
                f"the session has ended; task {entry.task_id} goes on at the server",
                task_id=entry.task_id,
            )
        images = 0
        if entry.is_under_way and not self._is_watched(entry.task_id):
            # Billed by whoever submitted it, but the server still works on it.
            images = entry.num_outputs
            self._budget.occupy(images)
        flight.watch = self._resume(entry, flight, images)
        flight.land()

    async def fly(self, flight: Submission) -> None:
        """Carry out a submission for which there is room."""
        try:
            with anyio.CancelScope() as flight.scope:
                if flight.abandoned:
                    flight.scope.cancel()
                try:
                    await self._attempts(flight)
                except FoxAPIError:
                    if flight.claim is None or not flight.claim.is_lost:
                        raise
                    await self._join(flight)
        except FoxAPIError as error:
            flight.error = error
        except Exception as fault:  # noqa: BLE001 - whatever it was, somebody waits for this
            _log.exception("a submission went wrong")
            if flight.sending:
                flight.error = flight.unknown(fault)
            else:
                flight.error = wrong_before_sent(fault)
        finally:
            try:
                if flight.watch is None:
                    with anyio.CancelScope(shield=True):
                        await self._failed(flight)
            finally:
                flight.scope = None
                self._flights.discard(flight)
                self._posts.release()
                flight.land()

    async def _join(self, flight: Submission) -> None:
        """Pick up the task of somebody else who submits the same key right now."""
        assert self._journal is not None
        assert flight.claim is not None
        await flight.claim.not_sent("somebody else submits it")
        flight.claim = None
        claim = await self._journal.claim(flight.key, flight.request)
        if claim.entry is None:
            given_up = FoxAPIError(
                f"somebody else was submitting {flight.key!r} and has given it up; nothing was sent"
            )
            await claim.not_sent(given_up)
            raise given_up
        self._pick_up(flight, claim.entry)
        self._budget.refund(flight.outputs)

    async def _attempts(self, flight: Submission) -> TrackedTask:
        payload = flight.request.payload()
        body = encode(payload)
        flight.group = group_of(flight.model, flight.outputs, payload)
        tries = Tries(self._retry, began=self._clock(), progress_count=self._tally.progress_count)
        while True:
            self._check_whether_to_stop(flight)
            answer = await self._try(flight, body)
            if flight.watch is not None:
                return flight.watch
            error = answer.error
            assert error is not None
            verdict = SUBMISSION_DECISIONS[answer.response_class]
            if verdict is RetryDecision.UNKNOWN:
                raise flight.unknown(error)
            may_go_on = tries.may_go_on(
                rate_limited=answer.rate_limited,
                now=self._clock(),
                progress_count=self._tally.progress_count,
                awaited=self._awaited(),
            )
            repeated = verdict is RetryDecision.REPEAT and self._retry.submissions
            if not (repeated and may_go_on) or flight.abandoned:
                raise error
            if flight.claim is not None:
                await flight.claim.postponed(error)
            flight.declined = error
            self._tally.repeated_submissions += 1
            _log.info("%s: it created nothing and is sent again", error)
            if not answer.rate_limited:  # after a 429 the gate makes everybody wait
                await anyio.sleep(tries.pause(random.random()))  # noqa: S311

    def _check_whether_to_stop(self, flight: Submission) -> None:
        if (stopped := flight.stop()) is not None:
            flight.stopped = True
            raise stopped

    async def _try(self, flight: Submission, body: bytes) -> Answer[Task]:
        outputs = flight.outputs
        sent_at = await self._gate.enter(Lane.SUBMIT, images=outputs)
        try:
            self._check_whether_to_stop(flight)  # it may have waited for long
            if flight.claim is not None:
                await flight.claim.sending()
            answer = await self._post(flight, body)
            if answer.value is not None:
                flight.watch = self._welcome(answer.value, flight)
                self._gate.accepted(outputs)
                await self._write_down(flight, answer.value)
                if self._announce:
                    self._announce(TaskSubmitted(answer.value, flight.request, flight.key))
                flight.watch.saw(answer.value, self._clock())
            flight.sending = False
            self._gate.report(Lane.SUBMIT, answer, sent_at)
            return answer
        finally:
            if flight.watch is None:
                self._gate.landed(outputs, known=False)

    async def _post(self, flight: Submission, body: bytes) -> Answer[Task]:
        def on_sending() -> None:
            if flight.abandoned:
                # aiohttp writes in a task of its own, which a cancellation may reach too late.
                raise _AbandonedError
            flight.sending = True

        if self._announce:
            self._announce(SubmissionStarted(flight.request, flight.key))
        try:
            reply = await self._transport.call(
                "POST", flight.path, json=body, on_sending=on_sending
            )
        except (APIConnectionError, InvalidResponseError) as error:
            return from_exception(error)
        return classify(reply, self._read, f"POST {flight.path} ({flight.model})")

    def _read(self, payload: object) -> Task:
        task = read_task(payload)
        if self._is_watched(task.id):
            # Two submissions cannot have made one task, and it is paid for already.
            raise InvalidResponseError(f"the answer names task {task.id}, which is another's")
        return task

    async def _write_down(self, flight: Submission, task: Task) -> None:
        if flight.claim is not None:
            with anyio.CancelScope(shield=True):
                await flight.claim.accepted(task.id, task.task_info.estimated_time)

    async def _failed(self, flight: Submission) -> None:
        outputs, error = flight.outputs, flight.failure()
        # What stopped the run may be a refusal, but not of this request: it was not sent.
        status = "not_submitted" if flight.stopped else status_of(error)
        if status == "unknown":
            self._budget.free(outputs)
            self._tally.unknown += 1
            self._tally.images_unknown += outputs
            _log.warning("%s", error)
        else:
            self._budget.refund(outputs)
            if status == "rejected":
                self._tally.rejected += 1
            else:
                self._tally.not_submitted += 1
            _log.info("%s", error)
        if flight.claim is not None:
            await self._record(flight.claim, status, error)
        if self._announce:
            self._announce(SubmissionFailed(flight.request, flight.key, error))

    async def _record(self, claim: Claim, status: OutcomeStatus, error: FoxAPIError) -> None:
        try:
            if status == "unknown":
                await claim.unknown(error)
            elif status == "rejected":
                await claim.rejected(error)
            else:
                await claim.not_sent(error)
        except FoxAPIError as trouble:
            # The caller gets the error of the submission; this one only delays the next claim.
            _log.error("the journal could not record that: %s", trouble)


class _AbandonedError(Exception):
    """Nobody wants the POST any more, and no byte of it has left."""
