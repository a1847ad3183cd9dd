"""The rate that a server bears, found from its refusals.

Theory of operation
-------------------
The server is thought of as a token bucket: ``R`` tokens per second up to a burst, one per request.
Neither number is known. TCP's CUBIC (RFC 9438) and the adaptive mode of the AWS SDKs meet the same
riddle with a saw-tooth: cut the rate on each refusal, climb back to where it happened, probe
beyond. Their teeth are a few seconds long, which at a few requests per second costs far more
refusals than one in fifty. So the shape is kept but the cut is replaced by an estimate, and the
teeth are made as long as adapting to a doubled limit within a minute allows:

* A refusal says that the bucket is empty. What was served between two refusals is what was earned
  between them, less what overflowed: ``served / time between refusals <= R``. If the burst is
  small, the pause after the first refusal is what overflowed, and ``R <= served / time spent
  sending``.
* After a refusal the rate holds a little below the estimate for `_HOLD` seconds, so that nothing
  is refused, and then climbs with the cube of the time, without bound.
* A refusal on the climb has two explanations: the limit is higher than was thought, or the burst
  is. `Departures.fit` computes either from the other. The burst that was thought of is trusted
  first, so that the rate is raised, for one quick refusal is all that it costs if wrong: then the
  rate is halved back to the old one, and the burst is remembered so that it fools nobody twice.
* A refusal while the rate was only held says that the limit fell. One may be chance; those that
  follow at once lower the estimate to what was served.
* A quota per window of many seconds is no bucket; `QuotaSearch` recognises it, and then knows what
  a refusal means better than all of this.
* Time in which the limit held nobody back counts for little, as in RFC 7661: a consumer that sends
  less than the limit learns nothing about it by being patient.
"""

from __future__ import annotations

import math

from attrs import define, field, frozen

from foxapi_async.limits.departures import Departures
from foxapi_async.limits.quota import QuotaSearch, Span

_HOLD = 42.0
"""Seconds below the estimate before the climb. At 2 requests per second a tooth then has about a
hundred requests and ends with one refusal, and a doubled limit is still found within a minute."""
_LEAST_HOLD, _LEAST_HOLD_REQUESTS = 4.0, 40.0
"""Seconds, and requests, of the shortest hold: after an estimate that little is known about."""
_HOLD_FROM, _HOLD_TO = 0.988, 0.998
"""Parts of the estimate at which the hold begins and ends."""
_CLIMB = 1.0 / 10.0**3
"""Growth in parts of the estimate per cubed second: doubled 10 s after the hold."""
_DOUBLING = 1.5
"""Seconds in which the first search for a limit doubles the rate."""
_LIFTED = 64.0
"""Times the estimate at which the climb has lost all meaning and the limit is lifted."""
_CATCH_UP = 0.02
"""Seconds by which a late request may be made up for: a timer that fires late loses no pace."""
_IDLE = 0.1
"""How fast the climb proceeds while the limit holds nobody back."""
_FIRST_PAUSE, _SHORTEST_PAUSE, _LONGEST_PAUSE = 0.25, 0.05, 30.0
"""Seconds of a pause for which the server named no time."""
_OUTAGE = 90.0
"""Seconds of refusals that say nothing about how long the next ones will last."""
_PROVING_GAP = 0.25
"""Seconds between requests while a pause that was too short has not yet been followed by an
answer: the 64 requests of a burst would all be refused."""
_FEW = 2
"""Refusals in a row, although the estimate was only held, that say little about the burst."""
_SAME, _STEP = 1.02, 1.03
"""Times the estimate that are no other rate yet, and a small step up."""
_CHALLENGE = 4
"""Climbs in a row that ended within the known burst, after which the limit may have risen all the
same: an estimate that is too low makes the burst look large, and would keep itself alive."""
_OVERSHOOT, _MOST_OVERSHOOT = 0.2, 0.1
"""Part of a rise, and part of the rate, by which a steep climb shoots beyond the limit."""
_HANDFUL = 8
"""Requests served between two refusals from which their rate can be trusted."""
_INSTANT = 1e-3
"""Seconds below which a span is too short to divide by."""
_BOUNDLESS = 1e5
"""Requests per second that nobody can send: the same as no limit."""
_ROUNDED = 1.05
"""Seconds by which Retry-After may lie behind the truth: it is a whole number."""


@frozen(eq=False, repr=False)
class _Trial:
    """What to go back to if a higher estimate fails at once."""

    estimate: float
    """Requests per second."""
    burst: float
    """Requests that the server lets through at once, if the estimate was right."""


@define(eq=False, repr=False)
class RateSearch:
    """One unknown limit, and what is allowed because of it."""

    _estimate: float | None = None
    _searching: bool = False
    _age: float = 0.0  # seconds on the curve, up to the last departure
    _resumed_at: float = -math.inf
    _refused_at: float = -math.inf  # departure of the first request refused in the last event
    _served_since: int = 0  # departures since that event
    _served_unlimited: int = 0  # answers before the first refusal
    _burst: float = 1.0  # requests that the server is known to let through at once
    _trial: _Trial | None = None
    _early: int = 0  # refusals in a row although the estimate was only held
    catch_up: float = _CATCH_UP
    """Seconds by which a late request may be made up for.

    A server without any burst does not bear that, so it shrinks with refusals that come early.
    """
    _tolerance: float = _CATCH_UP
    _hold: float = _HOLD
    _patience: int = 0  # climbs until the estimate is raised for a trial
    _familiar: int = 0  # climbs in a row that ended within the burst
    _tooth: float = 0.0  # seconds between the last two events
    _drought: float = 0.0  # seconds that passed unserved after a refusal, fading
    _in_vain: int = 0
    _closed_at: float = math.inf  # departure of the last refused request; inf once one was served
    _quota: QuotaSearch = field(factory=QuotaSearch)
    _departures: Departures = field(factory=Departures)

    @property
    def estimate(self) -> float | None:
        """Requests per second that the server is thought to bear; None before any refusal."""
        return self._estimate

    def rate(self, now: float) -> float | None:
        """Return the requests per second that are allowed now; None means any number."""
        if self._estimate is None:
            return None
        rate = self._curve(self._age_at(now))
        if rate > (_BOUNDLESS if self._searching else _LIFTED * self._estimate):
            return None
        return min(rate, 1.0 / _PROVING_GAP) if self._in_vain else rate

    def sent(self, now: float) -> None:
        """Record that a request leaves."""
        if self._estimate is not None:
            self._age = self._age_at(now)
        self._served_since += 1
        if self._quota.length is not None:
            self._quota.sent(now)
        self._departures.add(now)

    def answered(self, now: float, sent_at: float) -> None:
        """Record that a request was served."""
        if self._estimate is None:
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
        """Record the first refusal of a burst, and return the seconds of a pause of our own.

        Args:
            now: The present.
            sent_at: When the refused request left.
            asked: The seconds that the server asks for.
        """
        later = self._departures.after(sent_at)
        served = max(self._served_since - later - 1, 0)
        if self._estimate is None:
            self._estimate = max(self._recently(sent_at, 1.0), 1.0)
            self._searching = True
            self._hold = _LEAST_HOLD
            self._refused_at = sent_at
            self._quota.closed(sent_at, self._served_unlimited)
            pause = _FIRST_PAUSE
        elif served == 0:
            # Nothing was learned but that the pause was too short.
            self._in_vain += 1
            pause = max(_FIRST_PAUSE, now - self._refused_at)
        else:
            self._quota.closed(sent_at)
            pause = self._learn(self._estimate, served, sent_at, later)
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
        self._estimate = self._quota.rate
        self._searching, self._in_vain, self._trial = False, 0, None
        self._hold = _HOLD

    def _learn(self, old: float, served: int, sent_at: float, later: int) -> float:
        tooth = sent_at - self._refused_at
        if self._quota.explain(
            sent_at,
            later=later,
            climbing=self._reached(sent_at) > old,
            recent=self._departures.within(sent_at, self._quota.length),
        ):
            self._rely_on_quota()
            self._tooth = tooth
            self._refused_at = sent_at
            return _SHORTEST_PAUSE
        tried = self._trial is not None
        estimate = self._judge(old, served, sent_at)
        self._estimate = estimate
        self._searching = False
        self.catch_up = max(self._tolerance, min((self._burst - 1.0) / estimate, _CATCH_UP))
        # What was learned in a short time is not relied upon for long.
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
        """Say when the pause ends; the present counts from there."""
        self._resumed_at = max(self._resumed_at, at)

    def restore(self, estimate: float | None) -> None:
        """Take back refusals that turned out to have another cause."""
        self._estimate = estimate
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
        burst, rate = self._departures.fit(
            sent_at,
            self._resumed_at,
            rate=old,
            burst=self._burst if self._familiar < _CHALLENGE else 1.0,
        )
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
        # While the session paused the server saved up no more than its burst.
        sending = max(sent_at - self._resumed_at, _INSTANT)
        fitted = max(low, (served + 1 - self._burst) / sending)
        if self._early > _FEW:  # what was known of the burst is wrong
            fitted = math.sqrt(fitted * low)
        # A handful of requests says little about the rate, only that it was too high.
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
        """Return the rate at which the refused request was sent: allowed, and really used."""
        allowed = self._curve(self._age_at(sent_at))
        return min(allowed, 1.2 * self._recently(sent_at, max(1.0, 8.0 / allowed)))

    def _recently(self, until: float, span: float) -> float:
        return self._departures.per_second(until, min(span, max(until - self._resumed_at, 0.01)))

    def _curve(self, age: float) -> float:
        if self._estimate is None:
            return math.inf
        if self._searching:
            return self._estimate * math.exp2(min(age / _DOUBLING, 60.0))
        climb = _CLIMB * max(age - self._hold, 0.0) ** 3
        hold = _HOLD_FROM + (_HOLD_TO - _HOLD_FROM) * min(age / self._hold, 1.0)
        return self._estimate * (hold + climb)

    def _age_at(self, now: float) -> float:
        last = max(self._departures.last(now), self._resumed_at)
        passed = max(now - last, 0.0)
        busy = min(passed, 2.0 / self._curve(self._age))
        return self._age + busy + _IDLE * (passed - busy)
