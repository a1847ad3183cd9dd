"""From a distribution of durations to the ages at which to poll: the inspection problem.

A task that ends at an unknown moment T is found ended only by polling. With poll_cost = k, the seconds of delay that one
poll is worth, a task costs (t_seen - T) + k * polls. For a known distribution the optimum is that of Barlow, Hunter and
Proschan (Optimum checking procedures, J. SIAM 11, 1963). Keller (1974) gave its smooth form, which needs only the
hazard h(t), the chance per second that a task still running at t ends now:

    density of polls  n(t) = sqrt(h(t) / (2 k))          interval(t) = sqrt(2 k / h(t))

The smooth form costs 2 to 12 % more than the optimum where few polls are made per task, so it is only used to lay a grid
of points, POINTS per poll, on which the exact recursion is solved. With W(t) the expected cost from a poll at t on,
times the chance S(t) that it finds the task running, and F = 1 - S,

    W(t) = min over s > t of  k S(t) + integral from t to s of (F(u) - F(t)) du + W(s).

With A the integral of F, the term to be minimised is [A(s) + W(s)] - F(t) s: a straight line in F(t) for every s. As t
goes down from the end, F(t) falls and the best s with it, so that the lower envelope of the lines is kept in a queue and
the whole table takes one pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from foxapi_async.polling.durations import BINS, ORIGIN, STEP

POINTS = 5.0  # grid points per poll; with twice as many the cost falls by less than 0.5 %
MOST_POINTS = 350
# In addition, because of the longest interval; where that is shorter than the points are apart, nearly every poll is
# made at the bound, which the schedule keeps in any case.
MOST_POINTS_FOR_BOUNDS = 3000
MOST_POLLS = 75.0  # a grid of so many polls may end where fewer tasks than this are left:
COVERED_WELL = 0.05
COVERED = 0.002  # any other grid ends where fewer tasks than this are left; the smooth form continues from there
LEAST_HAZARD = 1e-7  # per second; an interval of an hour at the usual poll_cost

EDGES = [0.0, *(math.exp(ORIGIN + STEP * i) for i in range(1, BINS + 1))]
WIDTHS = [after - before for before, after in pairwise(EDGES)]


def grid(
    survival: Sequence[float], poll_cost: float, shortest: float, longest: float
) -> tuple[list[float], list[float], float]:
    """Return points in time, spaced by the smooth density of polls, the share ended by each, and points per poll."""
    polls: list[float] = []
    total = 0.0
    sqrt, log = math.sqrt, math.log
    per_cost = 0.5 / poll_cost
    before = survival[0]
    for after, width in zip(survival[1:], WIDTHS, strict=True):
        if before < COVERED or (before < COVERED_WELL and total > MOST_POLLS):
            break
        hazard = log(before / after) / width
        density = sqrt(per_cost * (max(LEAST_HAZARD, hazard)))
        count = width * density if density * shortest <= 1.0 else width / shortest
        polls.append(count)
        total += count
        before = after
    last = len(polls)
    per_poll = min(POINTS, MOST_POINTS / (total + 1.0))
    times, ended = [0.0], [0.0]
    target, done = 1.0, 0.0
    # a point in every half of the longest interval, for the solution must not need a longer one
    per_second = min(2.0 / longest, MOST_POINTS_FOR_BOUNDS / EDGES[last])
    for i, count in enumerate(polls):
        steps = max(count * per_poll, per_second * WIDTHS[i], 1e-9)
        while target <= done + steps:
            part = (target - done) / steps
            times.append(EDGES[i] + WIDTHS[i] * part)
            ended.append(1.0 - survival[i] + (survival[i] - survival[i + 1]) * part)
            target += 1.0
        done += steps
    if times[-1] > EDGES[last] * (1.0 - 1e-9):  # no two points in one place
        times.pop()
        ended.pop()
    times.append(EDGES[last])
    ended.append(1.0 - survival[last])
    return times, ended, per_poll


def solve(
    times: list[float], ended: list[float], poll_cost: float, shortest: float, longest: float
) -> list[float]:
    """Return the index of the best next point for every point of the grid."""
    end = len(times) - 1
    points = pairwise(zip(times, ended, strict=True))
    area = sum([0.5 * (f + g) * (t - s) for (s, f), (t, g) in points])
    # Beyond the grid: what the smooth form costs at the hazard found there.
    left = 1.0 - ended[end]
    hazard = (ended[end] - ended[end - 1]) / ((times[end] - times[end - 1]) * left)
    beyond = left * (math.sqrt(2.0 * poll_cost / max(hazard, LEAST_HAZARD)) + poll_cost)
    follow = [float(end)] * (end + 1)
    height = [0.0] * (end + 1)  # A(s) + W(s)
    height[end] = area + beyond
    queue = [end]  # the points whose lines form the lower envelope, by falling F from `head` on
    # where in F the line of the next point in the queue becomes the lower one
    crossings: list[float] = []
    head = 0
    candidate, reach = end - 1, end

    for i in range(end - 1, -1, -1):
        now, share = times[i], ended[i]
        while candidate > i and times[candidate] - now >= shortest:
            at, level = times[candidate], height[candidate]
            crossing = (height[queue[-1]] - level) / (times[queue[-1]] - at)
            while len(crossings) > head and crossing >= crossings[-1]:
                # The new line lifts the last one off the envelope.
                queue.pop()
                crossings.pop()
                crossing = (height[queue[-1]] - level) / (times[queue[-1]] - at)
            queue.append(candidate)
            crossings.append(crossing)
            candidate -= 1
        while head < len(crossings) and share <= crossings[head]:
            head += 1
        while times[reach] - now > longest and reach > i + 1:
            reach -= 1
        # where the bound forbids the best, the farthest poll that it allows wastes the fewest
        best = min(reach, queue[head])
        follow[i] = float(best)
        height[i] = poll_cost * (1.0 - share) + height[best] + share * (now - times[best])
    return follow
