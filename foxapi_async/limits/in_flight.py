"""Estimates a server's cap on images in flight from refused submissions.

A cap is a hypothesis: refusals come only at or above some number of images in flight, acceptances only
below it. It is believed after `_EVIDENCE` refusals in a row that agree, and given up when a refusal
comes at another number. A believed cap explains a refusal, so the rate is not cut.

Unlike a rate, a cap is known exactly after one refusal, so nothing is gained by going below it. Now
and then one submission above the cap probes it. While probes are accepted, they double, as in the slow
start of TCP.
"""

from __future__ import annotations

import math

from attrs import define

_EVIDENCE = 3
"""Refusals at about the same number of images until a cap is believed: two may be chance."""
_LEAST_TURNOVER = 4
"""Acceptances between two refusals that count, or half of the cap if that is more: otherwise the number
of images in flight would agree by itself."""
_NOISE, _LEAST_NOISE = 1 / 8, 2
"""Fraction of the cap, and images, within which numbers agree: the session learns later than the
server that a task has ended, so it may count more."""
_PROBE_EVERY, _PROBE_AFTER, _PROBE_AFTER_CAPS = 25.0, 12, 1.5
"""Seconds, accepted submissions, and submissions as a multiple of the cap, from a refusal to the next
probe. At most one submission in 13 is refused, and one in 25 at 16 images or more."""

_TRUSTED = 5
"""Refusals of a believed cap until it is probed that seldom; the first probes come sooner."""


@define(eq=False, repr=False)
class InFlightLimit:
    """Searches for an unknown cap on images in flight."""

    limit: int | None = None
    """Images in flight that the server accepts; None if no cap is believed."""
    _level: int = 0  # the cap, if there is one
    _evidence: int = 0  # refusals in a row that agree
    _refused_at: float = -math.inf
    _accepted: int = 0  # since then
    _turnover: int = 0  # accepted since the last refusal that counted as evidence
    _step: int = 1  # submissions above the cap that may be in flight

    def accepted(self, in_flight: int, sent_at: float) -> None:
        """Record that a submission was accepted; ``in_flight`` includes its images."""
        if sent_at <= self._refused_at:
            if self.limit is None:  # the server had counted it when it refused the other one
                self._level = max(self._level, in_flight)
            return
        self._accepted += 1
        self._turnover += 1
        if in_flight <= self._level:
            return
        if self.limit is not None:
            self._step *= 2
        if in_flight - self._level > self._noise:
            self._level = in_flight
            if self.limit is None:
                self._evidence = 0
            else:
                self.limit, self._evidence = in_flight, _EVIDENCE

    def refused(self, in_flight: int, now: float) -> bool:
        """Record that a submission was refused, and return whether the cap explains it."""
        if not self._evidence or abs(in_flight - self._level) > self._noise:
            self._evidence, self._level, self._turnover = 1, in_flight, 0
        elif self.limit is None:
            if self._turnover >= max(self._level / 2, _LEAST_TURNOVER):
                self._evidence, self._turnover = self._evidence + 1, 0
        elif in_flight < self._level:
            self._evidence -= 1
        elif self._step == 1:
            self._evidence = min(self._evidence + 1, _EVIDENCE + _TRUSTED)
        self._level = min(self._level, in_flight)
        self._refused_at, self._accepted, self._step = now, 0, 1
        self.limit = max(self._level, 1) if self._evidence >= _EVIDENCE else None
        return self.limit is not None

    def delay(self, images: int, in_flight: int, now: float) -> float:
        """Return the seconds until some more images may be in flight; 0.0 means now."""
        if self.limit is None or in_flight == 0 or in_flight + images <= self.limit:
            return 0.0
        step = self._step if in_flight > self.limit else 1
        if in_flight > self.limit + (step - 1) * images:
            return _PROBE_EVERY
        trust = min((self._evidence - _EVIDENCE + 1) / _TRUSTED, 1.0)
        accepted = trust * max(_PROBE_AFTER, _PROBE_AFTER_CAPS * self.limit)
        if self._step == 1 and self._accepted < accepted:
            return _PROBE_EVERY
        return max(self._refused_at + trust * _PROBE_EVERY - now, 0.0)

    @property
    def _noise(self) -> int:
        least = 1 if self.limit is None else _LEAST_NOISE
        return max(math.ceil(_NOISE * self._level), least)
