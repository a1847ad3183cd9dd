"""How long tasks take: a distribution that is learned from looks, on a logarithmic scale.

A look never tells when a task ended, only that it ended between two looks, or that it still runs. From such
interval-censored observations the distribution is estimated by the smoothed EM algorithm of Silverman, Jones, Wilson
and Nychka (J. R. Statist. Soc. B 52, 1990): share every observation out over its interval in proportion to what is
believed now, smooth, repeat. Two things steady it while observations are few. A broad base keeps every duration
possible for ever. A log-normal fitted to the same observations lends its shape to stretches of time in which nobody
looks; its weight stays that of a few observations, so that two modes are still found.

Everything here is counted in bins: bin i holds the durations from e^(STEP i) to e^(STEP (i + 1)) times a unit. `place`
gives the bin of a duration in seconds; a belief about elapsed / estimate has the estimate for its unit.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from operator import add, sub

STEP = 0.05  # width of a bin in the logarithm of time: 5 %, a fifth of a rather sharp spread
BINS = 290  # e^(290 * 0.05): two million from the shortest to the longest
SHORTEST = 0.05  # seconds: the lower edge of the first bin; the last ends after 27 hours
ORIGIN = math.log(SHORTEST)
TOP = BINS - 0.001

BASE_STRENGTH = 1.0  # the base counts for as many observations
FIT_STRENGTH = 30.0  # the fitted log-normal counts for as many, once there are FIT_FROM
FIT_FROM = 4.0
FIT_UNTIL = 60.0  # observations after which it counts for half as many
SPREAD_GUESS = 0.5  # sigma that is expected before there are observations ...
SPREAD_STRENGTH = 2.0  # ... and how many observations this expectation is worth
# While no end is known, those that run count for no more than so many: they are alike, and say the same thing.
HINT_STRENGTH = 6.0
BANDWIDTH = 0.7  # a little below the rule of thumb, 0.9 sigma n^(-1/5): shares of wide intervals blur by themselves
LEAST = 1e-9  # no probability below it, so that ratios stay finite
QUARTILES = 1.349  # the distance of the quartiles of a normal distribution with sigma 1
# Where the shortest stretch that holds half of all is shorter than this part of that distance, there are several modes.
SEVERAL_MODES = 0.6

Interval = tuple[float, float, float]
"""An observation: it ended between the first and the second place (in bins); the third is its weight."""


class Belief:
    """A distribution of durations over bins, sharpened by observations.

    `mass[i]` is the probability of bin i, `survival[i]` that of a longer duration than the lower edge of bin i.
    """

    __slots__ = ("base", "mass", "survival")

    def __init__(self, base: list[float]) -> None:
        self.base: list[float] = base
        self.mass: list[float] = base
        self.survival: list[float] = []
        self.reset()

    def reset(self) -> None:
        """Go back to the base."""
        self._settle(self.base)

    def between(self, low: float, high: float) -> float:
        """Return the probability of a duration between two places, in bins."""
        return max(still(self.survival, low) - still(self.survival, high), 0.0)

    def learn(self, ended: Sequence[Interval], running: Sequence[float], *, rounds: int) -> None:
        """Take these observations for all that is known.

        Args:
            ended: Tasks that ended, as intervals.
            running: How many tasks that have not ended yet were last seen running in each bin. Without any end,
                all of them count for a few only.
            rounds: Rounds of EM. They start from what was believed before, so that one is enough as a rule.
        """
        share = 1.0 if ended else HINT_STRENGTH / max(sum(running), HINT_STRENGTH)
        waiting = [(i, share * count) for i, count in enumerate(running) if count]
        for _ in range(rounds):
            self._sharpen(*self._share_out(ended, waiting))

    def _share_out(
        self, ended: Sequence[Interval], waiting: Sequence[tuple[int, float]]
    ) -> tuple[int, list[float]]:
        """Return how many of the observed tasks fall into each bin, and the first bin of that list (the E step)."""
        mass, survival = self.mass, self.survival
        found = [0.0] * BINS
        steps = [0.0] * (BINS + 1)  # differences of the factor by which the mass of a bin grows
        first, last = BINS, 0
        if ended:
            lows, highs, _ = zip(*ended, strict=True)
            first, last = int(min(lows)), int(max(highs))
        for low, high, weight in ended:
            i, j = int(low), int(high)
            if i == j:
                found[i] += weight
                continue
            before = survival[i] + (survival[i + 1] - survival[i]) * (low - i)
            after = survival[j] + (survival[j + 1] - survival[j]) * (high - j)
            factor = weight / (before - after + LEAST)
            found[i] += factor * mass[i] * (i + 1 - low)
            found[j] += factor * mass[j] * (high - j)
            steps[i + 1] += factor
            steps[j] -= factor
        for i, count in waiting:
            steps[i] += count / survival[i]
        if waiting:
            first, last = min(first, waiting[0][0]), BINS - 1
        factors = accumulate(steps[first : last + 1])
        parts = zip(found[first : last + 1], mass[first : last + 1], factors, strict=True)
        return first, [f + m * s for f, m, s in parts]

    def _sharpen(self, first: int, found: list[float]) -> None:
        """Smooth what was found and mix it with the fit and the base (the M and the S step)."""
        seen = sum(found)
        if seen <= LEAST:
            self.reset()
            return
        # Sums from the middle of the list, where they lose the least to rounding.
        half = len(found) // 2
        moments = [i * v for i, v in enumerate(found, -half)]
        centre = sum(moments) / seen
        square = sum([i * v for i, v in enumerate(moments, -half)]) / seen
        variance = max(square - centre * centre, 0.0) * STEP * STEP
        centre += first + half
        robust = min(variance, _robust_spread(found, seen) ** 2)
        more = max(seen - 1.0, 0.0)
        width = BANDWIDTH * _shrunk(robust, more) * max(seen, 1.0) ** -0.2
        spread = _shrunk(variance, more) * math.sqrt(1.0 + 1.0 / seen)
        strength = FIT_STRENGTH * min(seen / FIT_FROM, 1.0) * FIT_UNTIL / (FIT_UNTIL + seen)
        per = 1.0 / (BASE_STRENGTH + strength + seen)
        mass = [BASE_STRENGTH * per * b for b in self.base]
        _add(mass, *normal(strength * per, centre + 0.5, spread / STEP))
        _add(mass, *_blurred(first, found, width / STEP, per))
        self._settle(mass)

    def _settle(self, mass: list[float]) -> None:
        self.mass = mass
        self.survival = [max(rest, LEAST) for rest in accumulate(mass, sub, initial=1.0)]


def place(seconds: float) -> float:
    """Return where a duration lies on the scale of bins; the bounds of the scale catch what lies beyond."""
    if not seconds > SHORTEST:  # NaN as well
        return 0.0
    return min((math.log(seconds) - ORIGIN) / STEP, TOP)


def still(survival: Sequence[float], place: float) -> float:
    """Return the probability of a duration beyond a place (in bins, below BINS)."""
    index = int(place)
    low = survival[index]
    return low + (survival[index + 1] - low) * (place - index)


def bell(parts: Iterable[tuple[float, float, float]]) -> list[float]:
    """Return the masses of a mixture of normals in the logarithm: (share, centre, sigma), in bins."""
    masses = [0.0] * BINS
    for part in parts:
        _add(masses, *normal(*part))
    return masses


def normal(share: float, centre: float, sigma: float) -> tuple[int, list[float]]:
    """Return the masses of a normal in the logarithm and the first bin that they belong to."""
    # six sigma hold all but 1e-9; a bin that is left out would be rounded away anyway
    first = max(0, int(centre - 6.0 * sigma))
    last = min(BINS, int(centre + 6.0 * sigma) + 2)
    scale, half, erfc = math.sqrt(0.5) / sigma, 0.5 * share, math.erfc
    edges = [half * erfc((i - centre) * scale) for i in range(first, last + 1)]
    return first, list(map(sub, edges, edges[1:]))


def blur(values: list[float], sigma: float) -> list[float]:
    """Return the values smoothed by three running means, which is close to a normal of this sigma in bins."""
    radius = _radius(sigma)
    per = 1.0 / (2 * radius + 1)
    for _ in range(3 if radius else 0):
        sums = list(accumulate(values, initial=0.0))
        left = [0.0] * radius + sums
        right = sums[radius + 1 :] + [sums[-1]] * radius
        values = [(b - a) * per for a, b in zip(left, right, strict=False)]
    return values


def _blurred(
    first: int, values: list[float], sigma: float, scale: float
) -> tuple[int, list[float]]:
    """Return the values, which begin at a bin, smoothed and scaled, and where they begin now."""
    margin = 3 * _radius(sigma)
    low = max(first - margin, 0)
    room = min(first + len(values) + margin, BINS) - first - len(values)
    wide = [0.0] * (first - low) + values + [0.0] * room
    return low, [scale * v for v in blur(wide, sigma)]


def _radius(sigma: float) -> int:
    return max(round((math.sqrt(4.0 * sigma * sigma + 1.0) - 1.0) / 2.0), 0)


def _add(to: list[float], first: int, values: list[float]) -> None:
    end = first + len(values)
    to[first:end] = map(add, to[first:end], values)


def _shrunk(variance: float, count: float) -> float:
    """Return the sigma that is believed after `count` observations with this variance."""
    guess = SPREAD_STRENGTH * SPREAD_GUESS**2
    return math.sqrt((guess + count * variance) / (SPREAD_STRENGTH + count))


def _robust_spread(found: Sequence[float], seen: float) -> float:
    """Return the sigma that the quartiles suggest or, if there are several modes, that of the sharpest of them."""
    sums = list(accumulate(found, initial=0.0))
    half = 0.5 * seen
    width = bisect_left(sums, 1.5 * half) - bisect_left(sums, half / 2.0) + 0.3
    shortest, end = len(found), 0
    for start, before in enumerate(sums):
        end = bisect_left(sums, before + half, lo=end)
        if end == len(sums):
            break
        shortest = min(shortest, end - start)
    if shortest < SEVERAL_MODES * width:
        width = shortest
    return width * STEP / QUARTILES
