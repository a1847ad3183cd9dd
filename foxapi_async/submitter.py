"""The billed POST, from the wait for a slot to the task id.

A task of the session makes the POST, not the caller's: a cancelled caller leaves, but a POST of which
a byte has left is finished, so that the id of every billed task becomes known.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel

from foxapi_async._concurrency import Supervisor, finish_despite_cancellation
from foxapi_async.api import Api, KeyCheck
from foxapi_async.errors import (
    APIStatusError,
    AuthenticationError,
    FoxAPIError,
    InsufficientQuotaError,
    PermissionDeniedError,
    SessionClosedError,
)
from foxapi_async.events import EventEmitter, SubmissionFailed, SubmissionStarted
from foxapi_async.http.responses import Answer
from foxapi_async.http.retry_rules import SUBMISSION_DECISIONS, ResponseClass, RetryDecision
from foxapi_async.limits.circuit_breaker import Post
from foxapi_async.limits.limiter import Limiter
from foxapi_async.limits.rate_scheduler import Lane
from foxapi_async.models import Task
from foxapi_async.options import Retry
from foxapi_async.outcome import OutcomeStatus, status_of
from foxapi_async.polling.tracked_task import TrackedTask, group_of
from foxapi_async.registry import TaskRegistry
from foxapi_async.retry import Retrier
from foxapi_async.settlement import confirm_task, of_another
from foxapi_async.statistics import Counters
from foxapi_async.submission import Submission, error_before_sending, errors_before_sending
from foxapi_async.submission_gate import SubmissionGate

if TYPE_CHECKING:
    from foxapi_async.journal import Entry, JournalClaim, SessionJournal
    from foxapi_async.shared_limits import SharedLimits

_log = logging.getLogger("foxapi_async")

_CONCURRENT_POSTS: Final = 64


class Submitter:
    """Submits requests within the limits, each at most once unless it certainly created nothing."""

    def __init__(
        self,
        *,
        api: Api,
        registry: TaskRegistry,
        limiter: Limiter,
        retry: Retry,
        journal: SessionJournal | None,
        supervisor: Supervisor,
        events: EventEmitter,
        counters: Counters,
    ) -> None:
        self._api = api
        self._registry = registry
        self._limiter = limiter
        self._slots = limiter.slots
        self._retry = retry
        self._journal = journal
        self._supervisor = supervisor
        self._events = events
        self._counters = counters
        self._clock = asyncio.get_running_loop().time
        self.gate: SubmissionGate = SubmissionGate(api, retry.patience, events)
        self._posts = anyio.Semaphore(_CONCURRENT_POSTS, fast_acquire=True)
        self._running: set[Submission] = set()
        self._closed = False
        self.shared_limits: SharedLimits | None = None
        """The part in the limits of all sessions of the journal, if they are kept together."""

    @property
    def free_slots(self) -> int:
        """How many more images may be in flight now."""
        return self._slots.places - self._slots.in_flight

    @property
    def paused_since(self) -> datetime | None:
        """Since when submissions are paused; None if they are not."""
        return self.gate.paused_since

    def send_one_first(self) -> None:
        """Let one POST leave and hold the others until it has got a clear answer."""
        self.gate.send_one_first()

    def asks_journal(self, key: str | None) -> bool:
        """Whether `start` asks the journal for the key, which takes as long as a commit."""
        return key is not None and self._journal is not None

    async def submit(self, submission: Submission) -> TrackedTask:
        """Submit and return the task once its id is known."""
        await self.start(submission)
        try:
            await submission.wait()
        except BaseException:
            submission.cancel()
            await finish_despite_cancellation(submission.wait)
            raise
        return submission.result()

    async def start(self, submission: Submission) -> None:
        """Wait for slots, then start the submission in a task of the session.

        With a journal, a key of an existing task is not submitted: the submission is finished when
        this returns. Raises what `Session.submit` raises when nothing was sent.
        """
        if self._journal is not None:
            with errors_before_sending():
                submission.claim = await self._journal.claim(submission.key, submission.request)
        claim = submission.claim
        try:
            if claim is not None and claim.entry is not None:
                self._resume(submission, claim.entry)
                return
            await self._acquire_slots(submission)
        except BaseException as error:
            if claim is not None and claim.is_new:
                with anyio.CancelScope(shield=True):
                    await claim.not_sent(error)
            raise
        self._running.add(submission)
        self._supervisor.start(self._run, submission)

    async def wait_for(self, submissions: Iterable[Submission]) -> None:
        """Wait for the ends of those submissions that have got their slots."""
        for submission in submissions:
            if submission in self._running:
                await submission.wait()

    async def aclose(self, timeout: float) -> None:
        """Start no more submissions, and wait at most so many seconds for the POSTs under way."""
        self._closed = True
        for submission in tuple(self._running):
            submission.cancel()
        for _ in range(2):  # turns of the event loop in which every task that can has begun
            await anyio.lowlevel.checkpoint()
        for submission in tuple(self._running):
            if submission.scope is None:  # its task was cancelled from outside before it began
                submission.finish()
        with anyio.move_on_after(timeout):
            for submission in tuple(self._running):
                await submission.wait()

    async def _acquire_slots(self, submission: Submission) -> None:
        outputs = submission.outputs
        await self._slots.take(outputs)
        try:
            if self.shared_limits is not None:
                await self.shared_limits.take(submission)
            await self._posts.acquire()
        except BaseException:
            self._give_back(submission)
            raise
        if self._closed:
            self._posts.release()
            self._give_back(submission)
            raise SessionClosedError("the session has ended; nothing was sent")

    def _give_back(self, submission: Submission) -> None:
        self._slots.refund(submission.outputs)
        if self.shared_limits is not None:
            self.shared_limits.give_back(submission)

    def _resume(self, submission: Submission, entry: Entry) -> None:
        if self._closed:
            raise SessionClosedError(
                f"the session has ended; task {entry.task_id} continues on the server",
                task_id=entry.task_id,
            )
        self._registry.resume(entry, submission)
        submission.finish()

    async def _run(self, submission: Submission) -> None:
        """Carry out a submission that holds its slots."""
        try:
            with anyio.CancelScope() as submission.scope:
                if submission.cancelled:
                    submission.scope.cancel()
                is_decided = False
                while not is_decided:
                    try:
                        await self._post_until_clear(submission)
                        is_decided = True
                    except FoxAPIError:
                        if submission.claim is None or not submission.claim.is_lost:
                            raise
                        is_decided = await self._join(submission)
        except FoxAPIError as error:
            submission.error = error
        except Exception as fault:  # noqa: BLE001 - the caller waits for an answer in any case
            _log.exception("a submission failed")
            if submission.sending:
                submission.error = submission.unknown(fault)
            else:
                submission.error = error_before_sending(fault)
        finally:
            try:
                if submission.tracked is None:
                    with anyio.CancelScope(shield=True):
                        await self._record_failure(submission)
            finally:
                submission.scope = None
                self._running.discard(submission)
                self._posts.release()
                submission.finish()

    async def _join(self, submission: Submission) -> bool:
        """Claim the key anew that another caller has taken, and return whether that has created a task.

        False: the other caller has created none, and this one may submit.
        """
        assert self._journal is not None
        assert submission.claim is not None
        await submission.claim.not_sent("another caller is submitting it")
        submission.claim = None
        submission.claim = claim = await self._journal.claim(submission.key, submission.request)
        if claim.entry is None:
            if self.shared_limits is not None:
                await self.shared_limits.take(submission)
            return False
        self._resume(submission, claim.entry)
        self._slots.refund(submission.outputs)
        return True

    async def _post_until_clear(self, submission: Submission) -> None:
        """POST, and again as long as it is certain that no task was created."""
        payload, body = await submission.prepare()
        options = self._retry if submission.view is None else submission.view.retry
        submission.group = group_of(submission.model, submission.outputs, payload)
        retrier: Retrier | None = None
        has_rechecked = False
        while True:
            submission.check_stop()
            answer = await self._attempt(submission, body)
            error = answer.error
            if error is None:
                return
            decision = SUBMISSION_DECISIONS[answer.response_class]
            if decision is RetryDecision.UNKNOWN:
                raise submission.error or submission.unknown(error, answer.response)
            retrier = retrier or Retrier(options, self._clock())
            may_retry = retrier.may_retry(
                rate_limited=answer.rate_limited,
                now=self._clock(),
                # A map operation has the patience to see the end of a phase of refusals.
                was_served=bool(
                    submission.owner or self._counters.progress or self._registry.tasks
                ),
            )
            repeat = decision is RetryDecision.REPEAT
            if isinstance(error, AuthenticationError | PermissionDeniedError) and error.enveloped:
                is_refuted = await self._refutes(submission, error)
                repeat = is_refuted and isinstance(error, AuthenticationError) and not has_rechecked
                has_rechecked = True
            # In an outage the gate decides how long to go on.
            is_held = answer.response_class is ResponseClass.NOT_SENT and self.gate.is_paused
            may_retry = (may_retry or is_held) and options.submissions
            if not (repeat and may_retry) or submission.cancelled:
                if answer.rate_limited and submission.owner is not None and not may_retry:
                    submission.owner.note_fatal(error)
                raise error
            if submission.claim is not None:
                await submission.claim.postponed(error)
            submission.last_refusal = error
            self._counters.repeated_submissions += 1
            _log.info("%s: it created nothing and is sent again", error, extra=submission.about)
            if not answer.rate_limited:  # after a 429 the limiter pauses all submissions
                await anyio.sleep(retrier.pause(random.random()))  # noqa: S311

    async def _refutes(self, submission: Submission, error: APIStatusError) -> bool:
        """Return whether a free request shows that the key works although a POST was refused.

        If it does, the refusal concerns this submission alone; otherwise it ends the run.
        """
        if await self._api.check_key() is KeyCheck.WORKS:
            return True
        self._end_run(submission, error)
        return False

    def _end_run(self, submission: Submission, error: APIStatusError) -> None:
        error.ends_run = True
        if submission.owner is not None:
            submission.owner.note_fatal(error)

    async def _attempt(self, submission: Submission, body: bytes) -> Answer[Task]:
        outputs = submission.outputs
        post, sent_at = await self._admit(submission)
        try:
            submission.check_stop()  # the wait may have been long
            if submission.claim is not None:
                await submission.claim.sending()
            self.gate.sent(post)
            answer = await self._post(submission, body)
            if answer.value is not None:
                self._limiter.task_created(outputs)
            elif isinstance(answer.error, InsufficientQuotaError) and answer.error.enveloped:
                # Before the gate lets the next submission pass.
                self._end_run(submission, answer.error)
            self._limiter.record_answer(Lane.SUBMIT, answer, sent_at, is_single=post.is_trial)
            if SUBMISSION_DECISIONS[answer.response_class] is RetryDecision.UNKNOWN:
                answer = await self._settle(submission, answer)
            self.gate.answered(post, answer)
            if answer.value is None:
                submission.sending = False
            else:
                await self._registry.track(answer.value, submission)
            return answer
        finally:
            self.gate.withdrawn(post)
            if submission.tracked is None:
                self._limiter.not_created(outputs)

    async def _admit(self, submission: Submission) -> tuple[Post, float]:
        """Wait until the POST may leave: for the service first, then for the rate."""
        while True:
            post = await self.gate.admit(submission)
            try:
                sent_at = await self._limiter.admit(Lane.SUBMIT, images=submission.outputs)
            except BaseException:
                self.gate.withdrawn(post)
                raise
            if self.gate.may_leave(post):
                return post, sent_at
            self.gate.withdrawn(post)
            self._limiter.not_created(submission.outputs)

    async def _settle(self, submission: Submission, answer: Answer[Task]) -> Answer[Task]:
        """Return the task that an unclear answer names, if the server confirms it, else the answer."""
        assert answer.error is not None
        # From here on the caller may be cancelled and the session may end.
        submission.error = unknown = submission.unknown(answer.error, answer.response)
        task = await confirm_task(
            unknown,
            submission,
            api=self._api,
            limiter=self._limiter,
            known=self._registry.recent_ids,
            journal=self._journal,
        )
        if task is None:
            return answer
        _log.warning("%s; it did create task %s", answer.error, task.id, extra={"task_id": task.id})
        submission.error = None
        self._limiter.task_created(submission.outputs)
        return Answer(ResponseClass.OK, value=task, status=answer.status)

    async def _post(self, submission: Submission, body: bytes) -> Answer[Task]:
        def on_sending() -> None:
            if submission.cancelled:
                # aiohttp writes in a task of its own, which a cancellation may reach too late.
                raise _CancelledBeforeSendingError
            submission.sending = True
            submission.posted = time.time()

        if self._events.has_listener:
            self._events.emit(SubmissionStarted(submission.request, submission.key))
        api = self._api if submission.view is None else submission.view.api
        answer = await api.submit(submission.path, submission.model, body, on_sending)
        if answer.value is not None and self._registry.knows(answer.value.id):
            return of_another(answer, submission)
        return answer

    async def _record_failure(self, submission: Submission) -> None:
        outputs, error = submission.outputs, submission.failure()
        # What stopped a map operation may be a refusal, but not of this request: it was not sent.
        status = "not_submitted" if submission.stopped else status_of(error)
        if status == "unknown":
            self._slots.free(outputs)
            self._counters.unknown += 1
            self._counters.images_unknown += outputs
            _log.warning("%s", error, extra=submission.about)
        else:
            self._give_back(submission)
            if status == "rejected":
                self._counters.rejected += 1
            else:
                self._counters.not_submitted += 1
            _log.info("%s", error, extra=submission.about)
        if submission.claim is not None:
            await self._record_in_journal(submission.claim, status, error)
        self._events.emit(SubmissionFailed(submission.request, submission.key, error))

    async def _record_in_journal(
        self, claim: JournalClaim, status: OutcomeStatus, error: FoxAPIError
    ) -> None:
        try:
            if status == "unknown":
                await claim.unknown(error)
            elif status == "rejected":
                await claim.rejected(error)
            else:
                await claim.not_sent(error)
        except FoxAPIError as trouble:
            # The caller gets the error of the submission; this one only delays the next claim.
            _log.error("the journal could not record the end of a submission: %s", trouble)


class _CancelledBeforeSendingError(Exception):
    """The submission was cancelled, and no byte of its POST has left."""
