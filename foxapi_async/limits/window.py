"""Estimates a server's cap on images in flight from refused submissions.

A server that caps images in flight answers 429 to submissions although the rate is low, and still
answers polls. A rate limit refuses any request: if a share ``p`` of the requests are submissions,
a refusal hits a submission with probability ``p``, and ``n`` consecutive refusals hit only
submissions with the product of ``n`` such shares. Once that is improbable, the cause is a cap. A
single refused poll resets the probability.

A refusal at ``n`` images in flight means that the server accepts exactly ``n``, so ``n`` is the new
window and halving is not needed. A probe above it costs one refusal, so answers must earn it; if
it succeeds, the steps double until the next refusal.
"""

from __future__ import annotations

import math

from attrs import define

_COINCIDENCE = 0.01
"""If only submissions were refused, a lower probability than this means a cap."""
_NEAR = 0.8
"""Fraction of the window above which a refused submission is attributed to the cap."""
_PER_ANSWER, _PER_SECOND = 0.007, 1 / 180
"""Fractions of one probe that an answer and a second earn: about 1 % of requests hit the cap."""
_PER_SECOND_OF_PAUSE = 0.5
"""Probes that a second of Retry-After costs, because the session is paused for that time."""
_DEEPEST_DEBT = -10.0
_ASK_AGAIN = 1.0
"""Seconds after which answers alone may have earned a probe."""
_FIRST_HOLD, _LONGEST_HOLD = 0.25, 30.0
"""Seconds without submissions after several consecutive refusals: first and longest."""


@define(eq=False, repr=False)
class WindowSearch:
    """Searches for an unknown cap on images in flight."""

    limit: int | None = None
    """Images in flight that the server accepts; None if no cap is known."""
    _chance: float = 1.0
    submissions: int = 0  # sent since the last refusal
    others: int = 0  # other requests, likewise
    _strikes: int = 0
    _step: int = 0
    _credit: float = 0.0
    _earned_at: float = -math.inf
    _held_until: float = -math.inf

    def answered(self, now: float) -> None:
        """Record any answer other than 429."""
        self._credit = min(self._earned(now) + _PER_ANSWER, 1.0)
        self._earned_at = now

    def poll_refused(self) -> None:
        """Record that another request than a submission was refused, so the cause is the rate."""
        self._chance = 1.0
        self.submissions = self.others = 0

    def accepted(self, in_flight: int) -> None:
        """Record that a submission was accepted; ``in_flight`` includes its images."""
        self._strikes = 0
        if self.limit is not None and in_flight > self.limit:
            self.limit = in_flight
            self._step = max(2 * self._step, 1)

    def is_cause(self, in_flight: int) -> bool:
        """Record that a submission was refused, and return whether a cap is the likely cause."""
        submissions = max(self.submissions, 1)
        self._chance *= submissions / (submissions + self.others)
        self.submissions = self.others = 0
        if self.limit is not None and in_flight + 1 > _NEAR * self.limit:
            return True
        return self._chance <= _COINCIDENCE

    def refused(self, now: float, in_flight: int, pause: float) -> None:
        """Reduce the window after a refusal caused by the cap; ``pause`` is Retry-After in seconds."""
        self._strikes += 1
        # Several consecutive refusals without an accepted submission: the cap has fallen.
        surrender = 2 ** min(max(self._strikes - 2, 0), 20) - 1
        self.limit = max(in_flight - surrender, in_flight // 2, 1)
        self._step = 0
        self._credit = max(self._earned(now) - 1.0 - _PER_SECOND_OF_PAUSE * pause, _DEEPEST_DEBT)
        self._earned_at = now
        if self._strikes > 1:
            hold = _FIRST_HOLD * 2.0 ** min(self._strikes - 2, 20)
            self._held_until = now + min(hold, _LONGEST_HOLD)

    def delay(self, images: int, in_flight: int, now: float) -> float:
        """Return the seconds until some more images may be in flight; 0.0 means now."""
        held = max(self._held_until - now, 0.0)
        if self.limit is None or in_flight == 0:
            return held
        beyond = self._step or (images if self._earned(now) >= 1.0 else 0)
        return held if in_flight + images <= self.limit + beyond else max(held, _ASK_AGAIN)

    def _earned(self, now: float) -> float:
        return min(self._credit + _PER_SECOND * max(now - max(self._earned_at, 0.0), 0.0), 1.0)
