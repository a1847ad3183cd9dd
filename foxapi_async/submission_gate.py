"""Holds submissions back while the service gives no clear answers, and finds out when it does again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

import anyio

from foxapi_async._concurrency import Signal
from foxapi_async.api import Api, KeyCheck
from foxapi_async.errors import APIConnectionError, FoxAPIError
from foxapi_async.events import EventEmitter, SubmissionsPaused, SubmissionsResumed
from foxapi_async.http.responses import Answer
from foxapi_async.http.retry_rules import CLEAR_ANSWERS, ResponseClass
from foxapi_async.limits.circuit_breaker import CircuitBreaker, Post
from foxapi_async.models import Task
from foxapi_async.submission import Submission, SubmissionOwner

_log = logging.getLogger("foxapi_async")

_OTHERS = 1.0
"""Seconds until the session hears again of one that finds out for it whether the service has recovered."""


class SubmissionGate:
    """The circuit breaker of a session, and the probes that it asks for.

    Each POST passes it: `admit`, `may_leave` right before it leaves, `sent`, and then `answered` or
    `withdrawn`.
    """

    def __init__(self, api: Api, patience: float, events: EventEmitter) -> None:
        self._api = api
        self._events = events
        self._clock = asyncio.get_running_loop().time
        self._breaker = CircuitBreaker(patience)
        self._queue = anyio.Lock(fast_acquire=True)
        self._changed = Signal()
        self._paused: tuple[float, datetime] | None = None
        # Since when the submissions of a map operation wait in this pause. Each POST that is tried makes
        # room for another submission, whose own wait has only begun.
        self._held_since: dict[SubmissionOwner, float] = {}
        self._is_held = False
        self._waiting = 0
        self.on_change: Callable[[], object] | None = None
        """Called when the circuit may have opened or closed, if other sessions are to know."""

    @property
    def is_paused(self) -> bool:
        """Whether submissions are paused."""
        return self._paused is not None

    @property
    def is_open(self) -> bool:
        """Whether the circuit is open, by what this session has seen itself."""
        return self._breaker.opened_at is not None and not self._is_held

    @property
    def can_test(self) -> bool:
        """Whether there is a submission that may find out whether the service answers again."""
        return self._waiting > 0 or self._breaker.has_posts

    @property
    def paused_since(self) -> datetime | None:
        """Since when submissions are paused, in UTC; None if they are not."""
        return None if self._paused is None else self._paused[1]

    def hold_for_another(self, *, is_held: bool, is_heir: bool) -> None:
        """Send nothing while another session finds out whether the service answers again.

        ``is_heir``: that is up to this session now.
        """
        was_held, self._is_held = self._is_held, is_held
        now = self._clock()
        if is_heir:
            self._breaker.take_over(now)
        elif was_held == is_held:
            return
        if is_held and self._paused is None:
            self._paused = (now, datetime.now(UTC))
            _log.warning(
                "submissions are paused, because another session of the journal gets no clear answers; it "
                "finds out when the service accepts them again"
            )
            self._events.emit(SubmissionsPaused(self._paused[1], self._breaker.reason, _OTHERS))
        elif not is_held and not is_heir:
            self._breaker.recovered_elsewhere()
        self._tell(now)

    def send_one_first(self) -> None:
        """Let one POST leave and hold the others until it has got a clear answer."""
        self._breaker.send_one_first()

    async def admit(self, submission: Submission) -> Post:
        """Wait until a POST may leave, at most ``Retry.patience`` seconds for a submission or its owner.

        Raises:
            APIConnectionError: The pause was longer than that; nothing was sent.
        """
        now = self._clock()
        if self._is_held or self._breaker.delay(now) > 0:
            view = submission.view
            patience = self._breaker.patience if view is None else view.retry.patience
            if submission.held_since is None:
                submission.held_since = now
                if submission.owner is not None and self._paused is not None:
                    submission.held_since = self._held_since.setdefault(submission.owner, now)
            left = submission.held_since + patience - now
            with anyio.move_on_after(left):
                self._waiting += 1
                try:
                    async with self._queue:
                        await self._wait(submission)
                        if self._paused is None:
                            submission.held_since = None
                        return self._breaker.reserve()
                finally:
                    self._waiting -= 1
            error = self._given_up(patience)
            if submission.owner is not None:
                submission.owner.note_fatal(error)
            raise error
        return self._breaker.reserve()

    def may_leave(self, post: Post) -> bool:
        """Return whether an admitted POST may still leave."""
        return not self._is_held and self._breaker.may_leave(post)

    def sent(self, post: Post) -> None:
        """Record that a POST leaves now."""
        self._breaker.sent(post, self._clock())

    def answered(self, post: Post, answer: Answer[Task]) -> None:
        """Record the answer to a POST.

        A connection that was never made is no sign of an outage before the first answer: the base
        URL or the network may be wrong, and the caller should learn that soon.
        """
        now = self._clock()
        if answer.response_class in CLEAR_ANSWERS:
            self._breaker.answered(post, now, is_accepted=answer.value is not None)
        elif answer.response_class is ResponseClass.NOT_SENT and not self._breaker.has_answered:
            self._breaker.withdrawn(post)
        else:
            assert answer.error is not None
            self._breaker.failed(post, now, answer.error)
        self._tell(now)

    def withdrawn(self, post: Post) -> None:
        """Record that an admitted POST does not leave, or was cut off with the session."""
        self._breaker.withdrawn(post)
        self._changed.set()

    async def _wait(self, submission: Submission) -> None:
        """Wait as the first in the queue, and send the probes that are due."""
        while True:
            submission.check_stop()
            if self._is_held:
                await self._changed.wait()
                continue
            now = self._clock()
            delay = self._breaker.delay(now)
            self._tell(now)
            if delay <= 0:
                return
            probe_delay = self._breaker.probe_delay(now)
            if probe_delay <= 0:
                check = await self._api.check_key()
                self._breaker.probed(self._clock(), is_reachable=check is not KeyCheck.NO_ANSWER)
            else:
                submission.last_refusal = self._breaker.reason or submission.last_refusal
                with anyio.move_on_after(min(delay, probe_delay)):
                    await self._changed.wait()

    def _tell(self, now: float) -> None:
        """Wake the waiter, and tell the listener and the log when a pause begins or ends."""
        self._changed.set()
        breaker = self._breaker
        if breaker.opened_at is not None and self._paused is None:
            since = datetime.now(UTC)
            next_try = min(breaker.delay(now), breaker.probe_delay(now))
            self._paused = (now, since)
            _log.warning(
                "submissions are paused since %s UTC, because %s; the next try, a free request, is in "
                "%.3g s. Tasks in flight are polled as before",
                f"{since:%H:%M:%S}",
                breaker.reason,
                next_try,
            )
            self._events.emit(SubmissionsPaused(since, breaker.reason, next_try))
        elif breaker.opened_at is None and not self._is_held and self._paused is not None:
            seconds, self._paused = now - self._paused[0], None
            self._held_since.clear()
            _log.warning(
                "the pause of submissions is over after %.3g s: the service accepts them again",
                seconds,
            )
            self._events.emit(SubmissionsResumed(seconds))
        else:
            return
        if self.on_change is not None:
            self.on_change()

    def _given_up(self, patience: float) -> FoxAPIError:
        reason = self._breaker.reason
        since = "" if self._paused is None else f" since {self._paused[1]:%Y-%m-%d %H:%M:%S} UTC"
        error = APIConnectionError(
            f"nothing was sent: submissions are paused{since} because they got no clear answers, and "
            f"Retry(patience={patience:g}) is over (the last error: {reason}); submit "
            "it again when the service has recovered",
            sent=False,
        )
        error.__cause__ = reason
        return error
