"""Estimates the request rate that a server accepts from its 429 answers.

Theory of operation
-------------------
The server is modelled as a token bucket: ``R`` tokens per second up to a burst, one per request.
Neither number is known. TCP's CUBIC (RFC 9438) and the adaptive mode of the AWS SDKs solve the same
problem with a sawtooth: cut the rate on each refusal, climb back to the previous rate, then probe
above it. Their teeth are a few seconds long, which at a few requests per second causes far more
refusals than one in fifty. This module keeps the shape, but replaces the cut by an estimate, and
makes the teeth as long as possible while adapting to a doubled limit within a minute:

* A refusal means that the bucket is empty. The number served between two refusals is the number
  earned between them, minus the overflow: ``served / time between refusals <= R``. If the burst is
  small, the bucket overflowed during the pause after the first refusal, and ``R <= served / time
  spent sending``.
* After a refusal the rate stays slightly below the estimate for `_HOLD` seconds, so that nothing
  is refused. It then climbs with the cube of the time, without bound.
* A refusal during the climb means that either the limit or the burst is higher than estimated.
  `Departures.fit` computes each from the other. The known burst is trusted first and the rate is
  raised, because a wrong choice costs one quick refusal only: the rate then returns to the old one,
  and the larger burst is kept to avoid the same mistake.
* A refusal during the hold means that the limit fell. One may be chance; refusals that follow
  immediately lower the estimate to the served rate.
* A quota per window of many seconds is not a bucket. `QuotaSearch` detects it, and its result then
  replaces the estimate.
* Time in which the limit was not used counts for little, as in RFC 7661: a client that sends less
  than the limit learns nothing about the limit.
"""

from __future__ import annotations

import math

from attrs import define, field, frozen

from foxapi_async.limits.departures import Departures
from foxapi_async.limits.quota import QuotaSearch, Span

_HOLD = 42.0
"""Seconds below the estimate before the climb. At 2 requests per second a tooth then has about a
hundred requests and one refusal, and a doubled limit is still found within a minute."""
_LEAST_HOLD, _LEAST_HOLD_REQUESTS = 4.0, 40.0
"""Seconds, and requests, of the shortest hold, used after an uncertain estimate."""
_HOLD_FROM, _HOLD_TO = 0.988, 0.998
"""Fractions of the estimate at which the hold starts and ends."""
_CLIMB = 1.0 / 10.0**3
"""Growth as a fraction of the estimate per cubic second: doubled 10 s after the hold."""
_DOUBLING = 1.5
"""Seconds in which the initial search doubles the rate."""
_LIFTED = 64.0
"""Multiple of the estimate at which the climb ends and the limit is removed."""
_CATCH_UP = 0.02
"""Seconds of timer lateness that are compensated, so that late timers do not lower the rate."""
_IDLE = 0.1
"""Speed factor of the climb while the limit is not used."""
_FIRST_PAUSE, _SHORTEST_PAUSE, _LONGEST_PAUSE = 0.25, 0.05, 30.0
"""Seconds of a pause without Retry-After: the first, the shortest and the longest."""
_OUTAGE = 90.0
"""Refusals that last longer do not predict how long the next ones will last, in seconds."""
_PROVING_GAP = 0.25
"""Seconds between requests after a pause that was too short, until a request is answered.
Otherwise all 64 requests of a burst would be refused."""
_FEW = 2
"""Up to this many consecutive refusals during the hold say little about the burst."""
_SAME, _STEP = 1.02, 1.03
"""Factors of the estimate: treated as the same rate, and a small step up."""
_CHALLENGE = 4
"""After this many consecutive climbs within the known burst, test whether the limit has risen.
An estimate that is too low makes the burst look large and would otherwise persist."""
_OVERSHOOT, _MOST_OVERSHOOT = 0.2, 0.1
"""Overshoot of a steep climb: fraction of the increase, and at most a fraction of the rate."""
_HANDFUL = 8
"""Requests that must be served between two refusals for their rate to be trusted."""
_INSTANT = 1e-3
"""Seconds below which a span is too short to divide by."""
_BOUNDLESS = 1e5
"""More requests per second than a client can send: the same as no limit."""
_ROUNDED = 1.05
"""Maximum rounding error of Retry-After in seconds, which is a whole number."""


@frozen(eq=False, repr=False)
class _Trial:
    """The state to restore if a higher estimate fails immediately."""

    estimate: float  # requests per second
    burst: float  # requests that the server accepts at once, if the estimate was right


@define(eq=False, repr=False)
class RateSearch:
    """Searches for one unknown rate limit, and derives the allowed rate."""

    estimate: float | None = None
    """Estimated requests per second that the server accepts; None before any refusal."""
    _searching: bool = False
    _age: float = 0.0  # seconds on the curve, up to the last departure
    _resumed_at: float = -math.inf
    _refused_at: float = -math.inf  # send time of the first request refused in the last event
    _served_since: int = 0  # departures since that event
    _served_unlimited: int = 0  # answers before the first refusal
    _burst: float = 1.0  # requests that the server is known to accept at once
    _trial: _Trial | None = None
    _early: int = 0  # consecutive refusals during the hold
    catch_up: float = _CATCH_UP
    """A server without a burst refuses compensated requests, so early refusals reduce it."""
    _tolerance: float = _CATCH_UP
    _hold: float = _HOLD
    _patience: int = 0  # climbs until the next trial of a higher estimate
    _familiar: int = 0  # consecutive climbs that ended within the burst
    _tooth: float = 0.0  # seconds between the last two events
    _drought: float = 0.0  # decaying seconds without service after a refusal
    _in_vain: int = 0
    _closed_at: float = math.inf  # send time of the last refused request; inf after an answer
    _quota: QuotaSearch = field(factory=QuotaSearch)
    _departures: Departures = field(factory=Departures)

    def rate(self, now: float) -> float | None:
        """Return the requests per second that are allowed now; None means unlimited."""
        if self.estimate is None:
            return None
        rate = self._curve(self._age_at(now))
        if rate > (_BOUNDLESS if self._searching else _LIFTED * self.estimate):
            return None
        return min(rate, 1.0 / _PROVING_GAP) if self._in_vain else rate

    def sent(self, now: float) -> None:
        """Record that a request was sent."""
        if self.estimate is not None:
            self._age = self._age_at(now)
        self._served_since += 1
        if self._quota.length is not None:
            self._quota.sent(now)
        self._departures.add(now)

    def answered(self, now: float, sent_at: float) -> None:
        """Record that a request was served."""
        if self.estimate is None:
            self._served_unlimited += 1
            return
        late = sent_at < self._resumed_at
        if not late and self._in_vain:
            drought = now - self._refused_at
            self._drought = drought if drought < _OUTAGE else 0.0
            self._in_vain = 0
        if not late and self._closed_at < math.inf:
            self._quota.opened(Span(self._closed_at, sent_at))
            self._closed_at = math.inf
        if self._quota.answered(late=late, left=self._served_since):
            self._rely_on_quota()

    def refused(self, now: float, sent_at: float, asked: float | None = None) -> float:
        """Record the first refusal of a burst, and return the pause to make without Retry-After.

        ``asked`` is Retry-After in seconds.
        """
        later = self._departures.after(sent_at)
        served = max(self._served_since - later - 1, 0)
        if self.estimate is None:
            self.estimate = max(self._recently(sent_at, 1.0), 1.0)
            self._searching = True
            self._hold = _LEAST_HOLD
            self._refused_at = sent_at
            self._quota.closed(sent_at, self._served_unlimited)
            pause = _FIRST_PAUSE
        elif served == 0:
            # The only information is that the pause was too short.
            self._in_vain += 1
            pause = max(_FIRST_PAUSE, now - self._refused_at)
        else:
            self._quota.closed(sent_at)
            pause = self._learn(self.estimate, served, sent_at, later)
        self._closed_at = sent_at
        if asked is not None:
            earliest = sent_at + max(asked - _ROUNDED, 0.0)
            self._quota.opened(Span(earliest, now + asked))
            self._closed_at = math.inf
        else:
            reopening = self._quota.reopening(now, sent_at, in_vain=served == 0)
            pause = pause if reopening is None else max(reopening, _SHORTEST_PAUSE)
        self._age, self._served_since = 0.0, 0
        self.resume(now)
        return min(pause, _LONGEST_PAUSE)

    def _rely_on_quota(self) -> None:
        self.estimate = self._quota.rate
        self._searching, self._in_vain, self._trial = False, 0, None
        self._hold = _HOLD

    def _learn(self, old: float, served: int, sent_at: float, later: int) -> float:
        tooth = sent_at - self._refused_at
        climbing = self._reached(sent_at) > old
        recent = self._departures.within(sent_at, self._quota.length)
        if self._quota.explain(sent_at, later=later, climbing=climbing, recent=recent):
            self._rely_on_quota()
            self._tooth = tooth
            self._refused_at = sent_at
            return _SHORTEST_PAUSE
        tried = self._trial is not None
        estimate = self._judge(old, served, sent_at)
        self.estimate = estimate
        self._searching = False
        self.catch_up = max(self._tolerance, min((self._burst - 1.0) / estimate, _CATCH_UP))
        # An estimate from a short time is held for a short time.
        requests = _LEAST_HOLD_REQUESTS if served >= _HANDFUL else _HANDFUL
        least = max(_LEAST_HOLD, requests / estimate)
        known = tooth + (self._tooth if tried and self._trial is None else 0.0)
        self._hold = least if estimate > 1.2 * old else min(max(2.0 * known, least), _HOLD)
        self._tooth = tooth
        self._refused_at = sent_at
        self._in_vain = 0
        self._drought *= 0.7
        return max(min(max(1.0 / estimate, _SHORTEST_PAUSE), 1.0), 0.5 * self._drought)

    def resume(self, at: float) -> None:
        """Set when the pause ends; the curve continues from there."""
        self._resumed_at = max(self._resumed_at, at)

    def restore(self, estimate: float | None) -> None:
        """Restore the estimate after refusals that had another cause."""
        self.estimate = estimate
        self._searching, self._in_vain, self._trial = False, 0, None
        self._quota = QuotaSearch()
        self._age = self._hold

    def _judge(self, old: float, served: int, sent_at: float) -> float:
        low = served / max(sent_at - self._refused_at, _INSTANT)
        reached = self._reached(sent_at)
        if self._searching:
            return max(low, 0.75 * reached)
        if reached <= old:
            self._early += 1
            self._tolerance = 0.25 * self._tolerance if self._tolerance > _INSTANT else 0.0
            return max(self._lower(old, served, low, sent_at), min(low, old))
        self._early = 0
        self._tolerance = min(1.25 * self._tolerance, _CATCH_UP)
        return max(low, self._higher(old, reached, sent_at, low))

    def _higher(self, old: float, reached: float, sent_at: float, low: float) -> float:
        self._familiar += 1
        known = self._burst if self._familiar < _CHALLENGE else 1.0
        burst, rate = self._departures.fit(sent_at, self._resumed_at, rate=old, burst=known)
        self._trial = _Trial(max(old, low), burst)
        if rate > _SAME * old:
            self._familiar = 0
            return rate * (0.995 - min(_OVERSHOOT * (rate / old - 1.0), _MOST_OVERSHOOT))
        self._burst = max(burst, 0.9 * self._burst)
        if self._patience > 0:
            self._patience -= 1
            self._trial = None
            return old
        return min(0.99 * reached, _STEP * old)

    def _lower(self, old: float, served: int, low: float, sent_at: float) -> float:
        trial = self._trial
        if trial is None and self._early == 1:
            return 0.98 * old
        # While the session was paused, the server accumulated at most its burst.
        sending = max(sent_at - self._resumed_at, _INSTANT)
        fitted = max(low, (served + 1 - self._burst) / sending)
        if self._early > _FEW:  # the known burst is wrong
            fitted = math.sqrt(fitted * low)
        # A few requests say little about the rate, only that it was too high.
        few = served < _HANDFUL
        least, most = (0.5, 0.75) if few else (0.1, 0.98)
        lower = min(max(fitted, least * old), most * old)
        if trial is None:
            return lower
        middle = math.sqrt(old * trial.estimate)
        lower = middle if few else min(lower, middle)
        if lower > _SAME * trial.estimate:
            self._burst = min(self._burst + 0.5, trial.burst)
            return lower
        self._patience = _CHALLENGE
        self._burst, self._trial = trial.burst, None
        return trial.estimate

    def _reached(self, sent_at: float) -> float:
        # The rate at which the refused request was sent: allowed and actually used.
        allowed = self._curve(self._age_at(sent_at))
        return min(allowed, 1.2 * self._recently(sent_at, max(1.0, 8.0 / allowed)))

    def _recently(self, until: float, span: float) -> float:
        return self._departures.per_second(until, min(span, max(until - self._resumed_at, 0.01)))

    def _curve(self, age: float) -> float:
        if self.estimate is None:
            return math.inf
        if self._searching:
            return self.estimate * math.exp2(min(age / _DOUBLING, 60.0))
        climb = _CLIMB * max(age - self._hold, 0.0) ** 3
        hold = _HOLD_FROM + (_HOLD_TO - _HOLD_FROM) * min(age / self._hold, 1.0)
        return self.estimate * (hold + climb)

    def _age_at(self, now: float) -> float:
        last = max(self._departures.last(now), self._resumed_at)
        passed = max(now - last, 0.0)
        busy = min(passed, 2.0 / self._curve(self._age))
        return self._age + busy + _IDLE * (passed - busy)
