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
  sending``. The truth is between the two, which agree after a while.
* After a refusal the rate holds a little below the estimate for `_HOLD` seconds, so that nothing
  is refused, and then climbs with the cube of the time, without bound.
* A refusal high up on the climb has two explanations: the limit has risen, or the server saves up
  a burst. The first is tried, for one quick refusal is all that it costs if wrong; then the
  old estimate returns, and the size of the burst is remembered so that it fools nobody twice.
* Time in which the limit held nobody back counts for little, as in RFC 7661: a consumer that sends
  less than the limit learns nothing about it by being patient.
"""

from __future__ import annotations

import math
from collections import deque

from attrs import define, field, frozen

_HOLD = 45.0
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
_IDLE = 0.1
"""How fast the climb proceeds while the limit holds nobody back."""
_FIRST_PAUSE, _SHORTEST_PAUSE, _LONGEST_PAUSE = 0.25, 0.05, 30.0
"""Seconds of a pause for which the server named no time."""
_PROVING_GAP = 0.25
"""Seconds between requests while a pause that was too short has not yet been followed by an
answer: the 64 requests of a burst would all be refused."""
_CHALLENGE = 4
"""Climbs in a row that ended within the known burst, after which the limit may have risen all the
same: an estimate that is too low makes the burst look large, and would keep itself alive."""
_HANDFUL = 8
"""Requests served between two refusals from which their rate can be trusted."""
_INSTANT = 1e-3
"""Seconds below which a span is too short to divide by."""
_BOUNDLESS = 1e5
"""Requests per second that nobody can send: the same as no limit."""
_REMEMBERED = 2048
"""Departures remembered; more than can be under way or matter to the rate of the last second."""


@frozen(eq=False, repr=False)
class _Trial:
    """What to go back to if a higher estimate fails at once."""

    estimate: float
    """Requests per second."""
    surplus: float
    """Requests beyond the estimate that were served: the burst, if the estimate was right."""


@define(eq=False, repr=False)
class RateSearch:
    """One unknown limit, and what is allowed because of it."""

    _estimate: float | None = None
    _searching: bool = False
    _age: float = 0.0  # seconds on the curve, up to the last departure
    _resumed_at: float = -math.inf
    _refused_at: float = -math.inf  # departure of the first request refused in the last event
    _served_since: int = 0  # departures since that event
    _surplus: float = 0.0  # level of a leaky bucket: departures in, estimate out
    _burst: float = 0.0  # greatest surplus that the server is known to bear
    _trial: _Trial | None = None
    _hold: float = _HOLD
    _familiar: int = 0  # climbs in a row that ended within the burst
    _tooth: float = 0.0  # seconds between the last two events
    _drought: float = 0.0  # seconds that passed unserved after a refusal, fading
    _in_vain: int = 0
    _departures: deque[float] = field(factory=lambda: deque[float](maxlen=_REMEMBERED))

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
            last = self._departures[-1] if self._departures else now
            self._surplus = max(self._surplus - self._estimate * (now - last), 0.0) + 1.0
        self._served_since += 1
        self._departures.append(now)

    def answered(self, now: float, sent_at: float) -> None:
        """Record that a request was served."""
        if self._in_vain and sent_at >= self._resumed_at:
            self._drought = now - self._refused_at
            self._in_vain = 0

    def refused(self, now: float, sent_at: float) -> float:
        """Record the first refusal of a burst, and return the seconds of a pause of our own."""
        later = sum(1 for moment in self._departures if moment > sent_at)
        served = max(self._served_since - later - 1, 0)
        if self._estimate is None:
            self._estimate = max(self._recently(sent_at, 1.0), 1.0)
            self._searching = True
            self._hold = _LEAST_HOLD
            self._refused_at = sent_at
            pause = _FIRST_PAUSE
        elif served == 0:
            # Nothing was learned but that the pause was too short.
            self._in_vain += 1
            pause = max(_FIRST_PAUSE, now - self._refused_at)
        else:
            pause = self._learn(self._estimate, served, sent_at)
        self._age, self._surplus, self._served_since = 0.0, 0.0, 0
        self.resume(now)
        return min(pause, _LONGEST_PAUSE)

    def _learn(self, old: float, served: int, sent_at: float) -> float:
        tooth = sent_at - self._refused_at
        tried = self._trial is not None
        estimate = self._judge(old, served, sent_at)
        self._estimate = estimate
        self._searching = False
        # What was learned in a short time is not relied upon for long.
        least = max(_LEAST_HOLD, _LEAST_HOLD_REQUESTS / estimate)
        known = tooth + (self._tooth if tried else 0.0)
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
        self._age = self._hold

    def _judge(self, old: float, served: int, sent_at: float) -> float:
        tooth = max(sent_at - self._refused_at, _INSTANT)
        low = served / tooth
        high = (served + 1) / max(sent_at - self._resumed_at, _INSTANT)
        reached = self._reached(sent_at)
        if self._searching:
            return max(low, 0.75 * reached)
        if reached <= old:
            return max(self._lower(old, served, tooth, math.sqrt(low * high)), min(low, old))
        surplus = self._surplus - 1.0
        self._trial = None
        self._familiar += 1
        if surplus <= 1.25 * self._burst and self._familiar < _CHALLENGE:
            self._burst = max(surplus, 0.8 * self._burst)
            return max(low, min(reached, 1.02 * old))
        self._familiar = 0
        self._trial = _Trial(max(old, low), surplus)
        return max(low, reached * (1.0 - min(0.5 * (reached / old - 1.0), 0.12)))

    def _lower(self, old: float, served: int, tooth: float, middle: float) -> float:
        # A handful of requests says little about the rate, only that it was too high.
        least = 0.75 if served < _HANDFUL else 0.98
        trial = self._trial
        if trial is None:
            return min(max(middle, 0.1 * old), least * old)
        if served + 1.5 < 0.8 * trial.estimate * tooth:
            # Even the old rate would have earned more than was served: there is no great burst.
            return 0.93 * old
        lower = min(max(middle, 0.1 * old), least * old)
        if lower < 1.1 * trial.estimate:
            self._burst, lower = trial.surplus, trial.estimate
            self._trial = None
        return lower

    def _reached(self, sent_at: float) -> float:
        """Return the rate at which the refused request was sent: allowed, and really used."""
        allowed = self._curve(self._age_at(sent_at))
        return min(allowed, 1.2 * self._recently(sent_at, max(1.0, 8.0 / allowed)))

    def _recently(self, until: float, span: float) -> float:
        span = min(span, max(until - self._resumed_at, 0.01))
        return sum(1 for moment in self._departures if until - span < moment <= until) / span

    def _curve(self, age: float) -> float:
        if self._estimate is None:
            return math.inf
        if self._searching:
            return self._estimate * math.exp2(min(age / _DOUBLING, 60.0))
        climb = _CLIMB * max(age - self._hold, 0.0) ** 3
        hold = _HOLD_FROM + (_HOLD_TO - _HOLD_FROM) * min(age / self._hold, 1.0)
        return self._estimate * (hold + climb)

    def _age_at(self, now: float) -> float:
        last = max(self._departures[-1] if self._departures else now, self._resumed_at)
        passed = max(now - last, 0.0)
        busy = min(passed, 2.0 / self._curve(self._age))
        return self._age + busy + _IDLE * (passed - busy)
