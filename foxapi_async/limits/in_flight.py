"""Estimates a server's cap on images in flight from refused submissions.

A cap is a hypothesis: refusals come only at or above some number of images in flight, acceptances only
below it. It is believed after `_EVIDENCE` refusals in a row that agree, and forgotten when a submission
is accepted far above it or refused far below it. A believed cap is the better explanation of a refusal:
the rate is then not cut. One submission above the cap probes it from time to time.
"""

from __future__ import annotations

import math

from attrs import define

_EVIDENCE = 3
"""Refusals at about the same number of images until a cap is believed: two may be chance."""
_NOISE = 1 / 8
"""Fraction of the cap within which numbers agree: the session learns later than the server that a
task has ended, so it may count more."""
_PROBE_EVERY, _PROBE_ACCEPTED = 25.0, 12
"""Seconds, and accepted submissions, between two probes: at 8 images of 25 s, one in 13 is refused."""


@define(eq=False, repr=False)
class InFlightLimit:
    """Searches for an unknown cap on images in flight."""

    limit: int | None = None
    """Images in flight that the server accepts; None if no cap is believed."""
    _level: int = 0  # the cap, if there is one
    _evidence: int = 0  # refusals in a row that agree
    _refused_at: float = -math.inf
    _accepted: int = 0  # since then
    _step: int = 1

    def accepted(self, in_flight: int, sent_at: float) -> None:
        """Record that a submission was accepted; ``in_flight`` includes its images."""
        self._accepted += 1
        if in_flight <= self._level:
            return
        if sent_at <= self._refused_at and self.limit is None:
            self._level = in_flight
        elif self.limit is not None:
            self._step *= 2
        if in_flight - self._level > self._noise:
            if self.limit is None:
                self._evidence = 0
            self._level = in_flight
        if self.limit is not None:
            self.limit = self._level

    def refused(self, in_flight: int, now: float) -> bool:
        """Record that a submission was refused, and return whether the cap explains it."""
        if self._evidence and abs(in_flight - self._level) <= self._noise:
            self._evidence += 1
            self._level = min(self._level, in_flight)
        else:
            self._evidence, self._level = 1, in_flight
        self._refused_at, self._accepted, self._step = now, 0, 1
        self.limit = max(self._level, 1) if self._evidence >= _EVIDENCE else None
        return self.limit is not None

    def delay(self, images: int, in_flight: int, now: float) -> float:
        """Return the seconds until some more images may be in flight; 0.0 means now."""
        if self.limit is None or in_flight == 0 or in_flight + images <= self.limit:
            return 0.0
        if in_flight + images <= self.limit + self._step and self._accepted >= max(_PROBE_ACCEPTED, 1.5 * self.limit):
            return max(self._refused_at + _PROBE_EVERY - now, 0.0)
        return _PROBE_EVERY

    @property
    def _noise(self) -> int:
        return max(math.ceil(_NOISE * self._level), 2)
