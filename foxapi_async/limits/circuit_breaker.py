"""A circuit breaker for submissions, so that an outage of any length costs only a few POSTs.

A POST without a clear answer may be billed, and its task id is lost. After a few such POSTs in a row the
circuit opens: no POST leaves. Free requests (probes) tell whether the service answers, and then one POST
at a time is tried, until one is accepted (M. Nygard, Release It!, 2007, names the states closed,
open and half-open).

Only a created task shows that submissions work again. A refusal or a 429 creates nothing and costs nothing,
but the front of a service whose back is down may give it between the failures, so it neither counts as a
failure nor ends a row of them.

"In a row" is by the order of sending: when an old POST times out at last, that says nothing of the
service now if a later one was answered. A POST that has had no answer for much longer than others take
counts as failed, because the time limit of a request is too long to learn of an outage by it.

While nothing is known of the service, few POSTs may be unanswered at once: an initial window of two, which
each answer widens by one, as TCP does at the start and after an idle time (RFC 5681, sections 3.1 and 4.1).

Pure: times are seconds of any monotonic clock.
"""

from __future__ import annotations

import math
from typing import Final

from attrs import define, field

from foxapi_async.errors import APITimeoutError, FoxAPIError

_WINDOW: Final = 2
"""POSTs that may be unanswered at once after an idle time, and consecutive failures that open the
circuit. Each more costs one more unknown submission."""
_IDLE: Final = 1.0
"""Seconds after which an answer says too little of the service now."""
_FIRST_TRIAL: Final = 2.0
"""Seconds from the opening to the first POST that is tried."""
_TRIALS: Final = 5
"""POSTs that may be tried within ``patience``."""
_PROBE_PAUSES: Final = (1.0, 2.0, 4.0, 5.0)
"""Seconds between probes that fail; the last one repeats."""
_UNUSUAL: Final = 8.0
"""A POST fails when it has waited this many times longer than the slowest recent answer took."""
_LEAST_WAIT: Final = 2.0
"""Seconds that a POST waits at least before it counts as failed."""
_FIRST_WAIT: Final = 5.0
"""The same while no answer was seen that would tell how long they take."""
_SMOOTHING: Final = 1 / 16
"""How fast the slowest recent answer is forgotten, per answer."""


@define(eq=False, repr=False)
class Post:
    """A POST that may leave. ``number`` is the order of sending, from 1; 0 before it is sent.

    ``is_trial`` is whether it alone may leave, because the one before it failed.
    """

    is_trial: bool
    number: int = 0
    sent_at: float = math.inf


@define(eq=False, repr=False)
class CircuitBreaker:
    """Decides when a POST may leave.

    ``patience`` is the number of seconds within which at most five POSTs are tried. Call `reserve` when
    `delay` is 0, `sent` when the POST leaves, and then one of `answered`, `failed` and `withdrawn`.
    """

    patience: float
    opened_at: float | None = None
    """When the circuit opened; None while it is closed."""
    reason: FoxAPIError | None = None
    """The error of the last POST that failed."""
    _failures: int = 0  # consecutive, by the order of sending
    _failed: int = 0  # number of the last POST that failed
    _answered: int = 0  # number of the last POST that got a clear answer
    _answered_at: float = -math.inf
    _last: int = 0  # number of the last POST that was sent
    _window: int = _WINDOW
    _slowest: float | None = None
    _trials: int = 0  # that have failed since the circuit opened
    _is_reachable: bool = False  # whether the last probe succeeded
    _probe_at: float = math.inf
    _probes_failed: int = 0
    # Reserved or sent, and neither answered nor overdue, in the order of reservation.
    _under_way: dict[Post, None] = field(factory=dict["Post", None], init=False)

    @property
    def has_answered(self) -> bool:
        """Whether any POST has got a clear answer."""
        return self._answered_at > -math.inf

    def delay(self, now: float) -> float:
        """Return the seconds until a POST may leave; infinite while only a probe or an answer can tell."""
        under_way = self._under_way
        if not under_way and not self._failures:
            return 0.0
        if under_way and now - next(iter(under_way)).sent_at > self._longest_wait():
            self._fail_overdue(now)
        if self._failures:
            window = 1
        elif now - self._answered_at > _IDLE:
            window = self._window = _WINDOW
        else:
            window = self._window
        if len(under_way) >= window:
            return self._until_overdue(now)
        if self.opened_at is None:
            return 0.0
        return max(self._trial_due() - now, 0.0) if self._is_reachable else math.inf

    def probe_delay(self, now: float) -> float:
        """Return the seconds until the next probe is due; infinite if none is needed."""
        if self.opened_at is None or self._is_reachable:
            return math.inf
        return max(self._probe_at - now, 0.0)

    def probed(self, now: float, *, is_reachable: bool) -> None:
        """Record whether the service answered a probe."""
        self._is_reachable = is_reachable
        if is_reachable:
            self._probes_failed = 0
        else:
            pause = _PROBE_PAUSES[min(self._probes_failed, len(_PROBE_PAUSES) - 1)]
            self._probes_failed += 1
            self._probe_at = now + pause

    def send_one_first(self) -> None:
        """Let one POST leave and hold the others until it has got a clear answer."""
        self._failures = max(self._failures, 1)

    @property
    def has_posts(self) -> bool:
        """Whether a POST is reserved, or has no answer yet."""
        return bool(self._under_way)

    def take_over(self, now: float) -> None:
        """Open the circuit, because another session that had opened its own does not test any more."""
        self._failures = max(self._failures, _WINDOW)
        if self.opened_at is None:
            self.opened_at = now
            self._trials = self._probes_failed = 0
        self._probe_at = now
        self._is_reachable = False

    def recovered_elsewhere(self) -> None:
        """Close the circuit, because another session got a POST accepted."""
        self._failures = 0
        self.opened_at = self.reason = None

    def reserve(self) -> Post:
        """Return a POST that may leave now."""
        post = Post(is_trial=self._failures > 0)
        self._under_way[post] = None
        return post

    def may_leave(self, post: Post) -> bool:
        """Return whether a reserved POST may still leave: another may have failed since."""
        return post.is_trial or not self._failures

    def sent(self, post: Post, now: float) -> None:
        """Record that a reserved POST leaves."""
        self._last += 1
        post.number, post.sent_at = self._last, now

    def answered(self, post: Post, now: float, *, is_accepted: bool) -> None:
        """Record a clear answer: a task (``is_accepted``), a refusal, or a 429."""
        self._under_way.pop(post, None)
        took = now - post.sent_at
        if self._slowest is None or took > self._slowest:
            self._slowest = took
        else:
            self._slowest += _SMOOTHING * (took - self._slowest)
        self._answered_at = now
        if not is_accepted and self.reason is not None:
            return
        self._answered = max(self._answered, post.number)
        self._window += 1
        if post.number >= self._failed:  # equal: it was overdue
            self._failures = 0
            self.opened_at = self.reason = None

    def failed(self, post: Post, now: float, reason: FoxAPIError) -> None:
        """Record that a POST has ended without a clear answer."""
        if post.number > self._answered:
            self.reason = reason
        if post in self._under_way:  # otherwise it was overdue
            self._fail(post, now)

    def withdrawn(self, post: Post) -> None:
        """Record that a reserved POST was not sent."""
        self._under_way.pop(post, None)

    def _fail_overdue(self, now: float) -> None:
        longest = self._longest_wait()
        for post in tuple(self._under_way):
            if (waited := now - post.sent_at) > longest:
                self.reason = APITimeoutError(f"a POST has had no answer for {waited:.3g} s")
                self._fail(post, now)

    def _fail(self, post: Post, now: float) -> None:
        del self._under_way[post]
        if post.number < self._answered:
            return
        self._failures += 1
        self._failed = max(self._failed, post.number)
        self._window = _WINDOW
        if self.opened_at is None:
            if self._failures < _WINDOW:
                return
            self.opened_at = self._probe_at = now
            self._trials = self._probes_failed = 0
        elif post.is_trial:
            self._trials += 1
            self._probe_at = max(self._trial_due(), now)
        else:
            return  # it left before the circuit opened
        self._is_reachable = False

    def _longest_wait(self) -> float:
        if self._slowest is None:
            return _FIRST_WAIT
        return max(_UNUSUAL * self._slowest, _LEAST_WAIT)

    def _until_overdue(self, now: float) -> float:
        oldest = min(post.sent_at for post in self._under_way)
        # A little later: at the very moment rounding may say that it is not overdue yet.
        return max(oldest + self._longest_wait() - now, 0.0) + 1e-3

    def _trial_due(self) -> float:
        """Return when the next POST may be tried.

        The moments grow in proportion from the first to the sixth, right after ``patience``, so that an
        outage is over for the session soon after it is over for the service, in relation to its length.
        """
        assert self.opened_at is not None
        if self._trials > _TRIALS:
            return self.opened_at + self.patience * (self._trials - _TRIALS + 1)
        # A little after, so that a submission that waits since the opening gives up first.
        growth: float = max((self.patience / _FIRST_TRIAL + 1.0) ** (1 / _TRIALS), 2.0)
        return self.opened_at + _FIRST_TRIAL * growth**self._trials
