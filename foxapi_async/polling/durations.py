"""The distribution of durations on a logarithmic scale, estimated from polls.

A poll never tells when a task ended, only that it ended between two polls, or that it still runs. From such
interval-censored observations the distribution is estimated by the smoothed EM algorithm of Silverman, Jones, Wilson
and Nychka (J. R. Statist. Soc. B 52, 1990): distribute each observation over its interval in proportion to the current
estimate, smooth, repeat. Two things stabilise it while observations are few. A broad prior keeps every duration
possible. A log-normal fitted to the same observations gives shape to periods without polls; its weight stays
that of a few observations, so that two modes are still found.

Positions are counted in bins: bin i holds the durations from e^(STEP i) to e^(STEP (i + 1)) times a unit, which is
SHORTEST for durations in seconds. A distribution of elapsed / estimate has the estimate for its unit.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate, repeat
from operator import add, mul, sub

STEP = 0.05  # width of a bin in the logarithm of time: 5 %, a fifth of a narrow spread
BINS = 290  # e^(290 * 0.05): two million from the shortest to the longest
SHORTEST = 0.05  # seconds: the lower edge of the first bin; the last ends after 27 hours
ORIGIN = math.log(SHORTEST)
LAST = BINS - 0.001  # the highest position

PRIOR_STRENGTH = 1.0  # the prior counts for as many observations
FIT_STRENGTH = 30.0  # the fitted log-normal counts for as many, once there are FIT_FROM
FIT_FROM = 4.0
FIT_UNTIL = 60.0  # observations after which it counts for half as many
PRIOR_SIGMA = 0.5  # sigma that is expected before there are observations ...
PRIOR_SIGMA_STRENGTH = 2.0  # ... and how many observations this expectation is worth
# While no end is known, running tasks count for no more than so many: they are alike and carry the same information.
RUNNING_STRENGTH = 6.0
# A little below the rule of thumb, 0.9 sigma n^(-1/5): the shares of wide intervals are smooth by themselves.
BANDWIDTH = 0.7
LEAST = 1e-9  # no probability below it, so that ratios stay finite
QUARTILES = 1.349  # the distance of the quartiles of a normal distribution with sigma 1
# Where the shortest interval that holds half of all is shorter than this part of that distance, there are several modes.
SEVERAL_MODES = 0.6

Interval = tuple[float, float, float]
"""An observation: the task ended between the first and the second position; the third is its weight."""


def estimated(
    prior: list[float],
    mass: list[float],
    ended: Sequence[Interval],
    running: Sequence[float],
    *,
    rounds: int,
) -> list[float]:
    """Return the masses of the bins, estimated from these observations alone.

    EM starts at ``mass``, the former estimate; one round is usually enough. ``running`` counts, by bin, the tasks
    last seen running there; without any end, all of them count for a few only.
    """
    if not ended:
        share = RUNNING_STRENGTH / max(sum(running), RUNNING_STRENGTH)
        running = [share * count for count in running]
    for _ in range(rounds):
        mass = _maximize(prior, *_expect(mass, ended, running))
    return mass


def survival_of(mass: list[float]) -> list[float]:
    """Return the probability of a longer duration than the lower edge of each bin."""
    return list(accumulate(mass, sub, initial=1.0 + LEAST))


def _expect(
    mass: list[float], ended: Sequence[Interval], running: Sequence[float]
) -> tuple[int, list[float]]:
    """Return how many of the observed tasks fall into each bin, and the first bin of that list (the E step)."""
    survival = survival_of(mass)
    counts = [0.0] * BINS
    steps = [0.0] * (BINS + 1)  # differences of the factor by which the mass of a bin grows
    first, last = BINS, 0
    for low, high, weight in ended:
        i, j = int(low), int(high)
        first = min(first, i)
        last = max(last, j)
        if i == j:
            counts[i] += weight
            continue
        before = survival[i] + (survival[i + 1] - survival[i]) * (low - i)
        after = survival[j] + (survival[j + 1] - survival[j]) * (high - j)
        factor = weight / (before - after + LEAST)
        counts[i] += factor * mass[i] * (i + 1 - low)
        counts[j] += factor * mass[j] * (high - j)
        steps[i + 1] += factor
        steps[j] -= factor
    if any(running):
        last = BINS - 1
        for i, count in enumerate(running):
            if count:
                steps[i] += count / survival[i]
                first = min(first, i)
    end = last + 1
    shares = map(mul, mass[first:end], accumulate(steps[first:end]))
    return first, list(map(add, counts[first:end], shares))


def _maximize(prior: list[float], first: int, counts: list[float]) -> list[float]:
    """Smooth the counts and mix them with the fitted log-normal and the prior (the M and the S step)."""
    seen = sum(counts)
    if seen <= LEAST:
        return prior
    # Sums from the middle of the list, where they lose the least to rounding.
    half = len(counts) // 2
    offsets = range(-half, len(counts) - half)
    moments = list(map(mul, counts, offsets))
    mean = sum(moments) / seen
    variance = max(sum(map(mul, moments, offsets)) / seen - mean * mean, 0.0) * STEP * STEP
    robust = min(variance, _robust_sigma(counts, seen) ** 2)
    more = max(seen - 1.0, 0.0)
    expected = PRIOR_SIGMA_STRENGTH * PRIOR_SIGMA**2
    known = PRIOR_SIGMA_STRENGTH + more
    width = BANDWIDTH * math.sqrt((expected + more * robust) / known) * max(seen, 1.0) ** -0.2
    sigma = math.sqrt((expected + more * variance) / known * (1.0 + 1.0 / seen))
    strength = FIT_STRENGTH * min(seen / FIT_FROM, 1.0) * FIT_UNTIL / (FIT_UNTIL + seen)
    per = 1.0 / (PRIOR_STRENGTH + strength + seen)
    mass = list(map(mul, prior, repeat(PRIOR_STRENGTH * per)))
    _add(mass, *normal(strength * per, first + half + mean + 0.5, sigma / STEP))
    _add(mass, *smooth(first, counts, width / STEP, scale=per))
    return mass


def mixture(parts: Iterable[tuple[float, float, float]]) -> list[float]:
    """Return the masses of a mixture of normals in the logarithm: (share, centre, sigma), in bins."""
    masses = [0.0] * BINS
    for part in parts:
        _add(masses, *normal(*part))
    return masses


def normal(share: float, centre: float, sigma: float) -> tuple[int, list[float]]:
    """Return the first bin and the masses of a normal in the logarithm."""
    # six sigma hold all but 1e-9; a bin that is left out would be rounded away
    first = max(0, int(centre - 6.0 * sigma))
    last = min(BINS, int(centre + 6.0 * sigma) + 2)
    scale, half, erfc = math.sqrt(0.5) / sigma, 0.5 * share, math.erfc
    edges = [half * erfc((i - centre) * scale) for i in range(first, last + 1)]
    return first, list(map(sub, edges, edges[1:]))


def smooth(
    first: int, values: Sequence[float], sigma: float, *, scale: float = 1.0
) -> tuple[int, list[float]]:
    """Return the first bin and the values of a list smoothed by about a normal of this sigma, in bins.

    Three running means are close to a normal. What falls below the first or above the last bin is dropped.
    """
    radius = round((math.sqrt(4.0 * sigma * sigma + 1.0) - 1.0) / 2.0)
    before = [0.0] * (2 * radius)
    for _ in range(3 if radius else 0):
        sums = list(accumulate(values, initial=0.0))
        values = list(map(sub, sums[1:] + sums[-1:] * (2 * radius), before + sums[:-1]))
        first -= radius
    skipped = max(-first, 0)
    scale /= (2 * radius + 1) ** 3
    return first + skipped, list(map(mul, values[skipped : BINS - first], repeat(scale)))


def _add(to: list[float], first: int, values: list[float]) -> None:
    end = first + len(values)
    to[first:end] = map(add, to[first:end], values)


def _robust_sigma(counts: Sequence[float], seen: float) -> float:
    """Return the sigma that the quartiles suggest or, if there are several modes, that of the narrowest of them."""
    sums = list(accumulate(counts, initial=0.0))
    half = 0.5 * seen
    width = bisect_left(sums, 1.5 * half) - bisect_left(sums, half / 2.0) + 0.3
    shortest, end = len(counts), 0
    for start, before in enumerate(sums):
        end = bisect_left(sums, before + half, lo=end)
        if end == len(sums):
            break
        shortest = min(shortest, end - start)
    if shortest < SEVERAL_MODES * width:
        width = shortest
    return width * STEP / QUARTILES
