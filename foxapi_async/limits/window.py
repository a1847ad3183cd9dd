"""The images in flight that a server bears, found from the submissions that it refuses.

A server that caps images in flight answers 429 to submissions although the rate is low, and goes on
answering polls. That is how the two are told apart: a limit on the rate does not care what it
refuses, so if a share ``p`` of the requests are submissions, the chance that a refusal hits one is
``p``, and that ``n`` refusals in a row do is the product of ``n`` such shares. When that has become
improbable it is a cap; a single poll refused starts the count anew.

A refusal at ``n`` images in flight says that the server bears ``n`` and not more, so ``n`` is the
new window: there is nothing to halve. Going beyond it is a gamble that costs one refusal, so it
has to be earned by answers; if it succeeds, the steps double until the next refusal.
"""

from __future__ import annotations

import math

from attrs import define

_COINCIDENCE = 0.01
"""The chance below which refusals of nothing but submissions are no coincidence."""
_NEAR = 0.8
"""Part of the window from which a refused submission is put down to the cap."""
_PER_ANSWER, _PER_SECOND = 0.007, 1 / 180
"""Parts of one gamble that an answer and a second earn: refusals by the cap stay near 1 %."""
_PER_SECOND_OF_PAUSE = 0.5
"""Parts of a gamble that a second of Retry-After costs, because the session stood still."""
_DEEPEST_DEBT = -10.0
_ASK_AGAIN = 1.0
"""Seconds after which room may have come about by answers alone."""
_FIRST_HOLD, _LONGEST_HOLD = 0.25, 30.0
"""Seconds without submissions after several in a row were refused."""


@define(eq=False, repr=False)
class WindowSearch:
    """One unknown cap on images in flight."""

    limit: int | None = None
    """Images in flight that the server bears; None while no cap is known."""
    _chance: float = 1.0
    _submissions: int = 0
    _others: int = 0
    _strikes: int = 0
    _step: int = 0
    _credit: float = 0.0
    _earned_at: float = -math.inf
    _held_until: float = -math.inf

    def answered(self, now: float) -> None:
        """Record an answer of any kind that is not 429."""
        self._credit = min(self._earned(now) + _PER_ANSWER, 1.0)
        self._earned_at = now

    def sent(self, *, submission: bool) -> None:
        """Record that a request leaves."""
        if submission:
            self._submissions += 1
        else:
            self._others += 1

    def poll_refused(self) -> None:
        """Record that a request other than a submission was refused: it is the rate."""
        self._chance = 1.0
        self._submissions = self._others = 0

    def accepted(self, in_flight: int) -> None:
        """Record that a submission was accepted, the images in flight including its own."""
        self._strikes = 0
        if self.limit is not None and in_flight > self.limit:
            self.limit = in_flight
            self._step = max(2 * self._step, 1)

    def is_cause(self, in_flight: int) -> bool:
        """Record that a submission was refused, and return whether a cap is the likely cause."""
        submissions = max(self._submissions, 1)
        self._chance *= submissions / (submissions + self._others)
        self._submissions = self._others = 0
        if self.limit is not None and in_flight + 1 > _NEAR * self.limit:
            return True
        return self._chance <= _COINCIDENCE

    def refused(self, now: float, in_flight: int, pause: float) -> None:
        """Close the window after a refusal by the cap, for which the session pauses so long."""
        self._strikes += 1
        # Refused again and again without one accepted in between: the cap has fallen.
        surrender = 2 ** min(max(self._strikes - 2, 0), 20) - 1
        self.limit = max(in_flight - surrender, in_flight // 2, 1)
        self._step = 0
        self._credit = max(self._earned(now) - 1.0 - _PER_SECOND_OF_PAUSE * pause, _DEEPEST_DEBT)
        self._earned_at = now
        if self._strikes > 1:
            hold = _FIRST_HOLD * 2.0 ** min(self._strikes - 2, 20)
            self._held_until = now + min(hold, _LONGEST_HOLD)

    def delay(self, images: int, in_flight: int, now: float) -> float:
        """Return the seconds until so many more images may be in flight; 0.0 means now."""
        held = max(self._held_until - now, 0.0)
        if self.limit is None or in_flight == 0:
            return held
        beyond = self._step or (images if self._earned(now) >= 1.0 else 0)
        return held if in_flight + images <= self.limit + beyond else max(held, _ASK_AGAIN)

    def _earned(self, now: float) -> float:
        return min(self._credit + _PER_SECOND * max(now - max(self._earned_at, 0.0), 0.0), 1.0)
