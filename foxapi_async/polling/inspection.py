"""From a distribution of durations to the ages at which to look: the inspection problem.

A task that ends at an unknown moment T is found ended only by looking. With poll_cost = k, the seconds of delay that one
look is worth, a task costs (t_seen - T) + k * looks. For a known distribution the optimum is that of Barlow, Hunter and
Proschan (Optimum checking procedures, J. SIAM 11, 1963). Keller (1974) gave its smooth form, which needs only the
hazard h(t), the chance per second that a task still running at t ends now:

    density of looks  n(t) = sqrt(h(t) / (2 k))          interval(t) = sqrt(2 k / h(t))

The smooth form costs 2 to 12 % more than the optimum where few looks are made per task, so it is only used to lay a grid
of points, POINTS per look, on which the exact recursion is solved. With W(t) the expected cost from a look at t on,
times the chance S(t) that it finds the task running, and F = 1 - S,

    W(t) = min over s > t of  k S(t) + integral from t to s of (F(u) - F(t)) du + W(s).

With A the integral of F, the term to be minimised is [A(s) + W(s)] - F(t) s: a straight line in F(t) for every s. As t
goes down from the end, F(t) falls and the best s with it, so that the lower envelope of the lines is kept in a queue and
the whole table takes one pass.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from foxapi_async.polling.durations import BINS, ORIGIN, STEP, place

POINTS = 6.0  # grid points per look; with twice as many the cost falls by less than 0.5 %
MOST_POINTS = 500
# Beside them, for the sake of the longest interval; where that is shorter than they are apart, nearly every look is made
# at the bound, which the schedule keeps in any case.
MOST_POINTS_FOR_BOUNDS = 3000
MOST_LOOKS = 75.0  # a grid of so many looks may end sooner, at:
COVERED_WELL = 0.05
COVERED = (
    0.002  # the grid ends where fewer tasks than this are left; the smooth form goes on from there
)
LEAST_HAZARD = 1e-7  # per second; an interval of an hour at the usual poll_cost
FIRST_SPREAD = (
    0.4  # the first look of a crowd is spread over this part of an interval between looks
)
LATER_SPREAD = 0.2
# While no end is known, some tasks are looked at sooner than is best for them, for the sake of all that were submitted
# with them: the first end that is seen tells more than any guess.
SCOUTS = 0.6  # the share of these tasks
SOONEST = (
    0.2  # their first looks are spread evenly, by logarithm, from this part of the best age on
)

EDGES = [0.0, *(math.exp(ORIGIN + STEP * i) for i in range(1, BINS + 1))]
WIDTHS = [after - before for before, after in pairwise(EDGES)]


class InspectionTable:
    """The best next look for every age, for one distribution of durations."""

    __slots__ = ("_follow", "_per_look", "_poll_cost", "_times", "born", "survival", "uses")

    def __init__(
        self,
        survival: Sequence[float],
        *,
        poll_cost: float,
        shortest: float,
        longest: float,
        born: int = 0,
    ) -> None:
        self.survival: Sequence[float] = survival
        self.born: int = born
        self.uses: int = 0
        self._poll_cost = poll_cost
        points = _Grid(survival, poll_cost, shortest, longest)
        self._times = points.times
        self._per_look = points.per_look
        # with fewer points the smooth form, which the grid embodies, is the better one
        fine = points.per_look >= POINTS / 2.0
        self._follow = _solve(points, poll_cost, shortest, longest) if fine else []

    def after(self, age: float, jitter: float) -> float:
        """Return the age of the next look (seconds), without regard to the bounds of the interval."""
        times = self._times
        last = len(times) - 1
        index = bisect_right(times, age) - 1
        if index >= last:
            return age + self._smooth_interval(age) * (1.0 + LATER_SPREAD * (jitter - 0.5))
        part = (age - times[index]) / (times[index + 1] - times[index])
        if self._follow:
            low, high = self._follow[index], self._follow[index + 1]
            aim = low + (high - low) * part
        else:
            aim = index + part + self._per_look * (1.0 if age > 0.0 else 0.5)
        spread = self._per_look * (FIRST_SPREAD if index == 0 else LATER_SPREAD)
        aim += spread * (jitter - 0.5)
        aim = min(max(aim, 0.0), last - 1e-6)
        index = int(aim)
        return times[index] + (times[index + 1] - times[index]) * (aim - index)

    def first_in_ignorance(self, jitter: float) -> float:
        """Return the age of the first look (seconds) while no task of the kind is known to have ended."""
        others = 1.0 - SCOUTS
        if abs(jitter - 0.5) <= 0.5 * others:
            return self.after(0.0, 0.5 + (jitter - 0.5) / others)
        rank = (jitter if jitter < 0.5 else jitter - others) / SCOUTS  # noqa: PLR2004
        return float(self.after(0.0, 0.5) * SOONEST ** (1.0 - rank))

    def _smooth_interval(self, age: float) -> float:
        index = min(int(place(age)), BINS - 1)
        before, after = self.survival[index], self.survival[index + 1]
        hazard = math.log(before / after) / (EDGES[index + 1] - EDGES[index])
        interval = math.sqrt(2.0 * self._poll_cost / max(hazard, LEAST_HAZARD))
        # what is believed of the far tail is not to be trusted
        return min(interval, 0.5 * age + 1.0)


class _Grid:
    """Points in time, spaced by the smooth density of looks, with the share of tasks that ended by each."""

    def __init__(
        self, survival: Sequence[float], poll_cost: float, shortest: float, longest: float
    ) -> None:
        looks: list[float] = []
        total = 0.0
        sqrt, log = math.sqrt, math.log
        per_cost = 0.5 / poll_cost
        for rest, after, width in zip(survival, survival[1:], WIDTHS, strict=False):
            if rest < COVERED or (rest < COVERED_WELL and total > MOST_LOOKS):
                break
            hazard = max(log(rest / after) / width, LEAST_HAZARD)
            density = sqrt(per_cost * hazard)
            if density * shortest > 1.0:
                density = 1.0 / shortest
            looks.append(width * density)
            total += looks[-1]
        last = len(looks)
        per_look = self.per_look = min(POINTS, MOST_POINTS / (total + 1.0))
        times = self.times = [0.0]
        ended = self.ended = [0.0]
        aim, done = 1.0, 0.0
        # a point in every half of the longest interval, for the solution must not need a longer one
        per_second = min(2.0 / longest, MOST_POINTS_FOR_BOUNDS / EDGES[last])
        for i, count in enumerate(looks):
            width = WIDTHS[i]
            steps = max(count * per_look, per_second * width, 1e-9)
            if aim <= done + steps:
                rest, start = survival[i], EDGES[i]
                share = rest - survival[i + 1]
                while aim <= done + steps:
                    part = (aim - done) / steps
                    times.append(start + width * part)
                    ended.append(1.0 - rest + share * part)
                    aim += 1.0
            done += steps
        if times[-1] > EDGES[last] * (1.0 - 1e-9):  # no two points in one place
            times.pop()
            ended.pop()
        times.append(EDGES[last])
        ended.append(1.0 - survival[last])


def _solve(grid: _Grid, poll_cost: float, shortest: float, longest: float) -> list[float]:
    """Return the index of the best next point for every point of the grid."""
    times, ended = grid.times, grid.ended
    end = len(times) - 1
    areas = [0.0]
    for i in range(end):
        areas.append(areas[-1] + 0.5 * (ended[i] + ended[i + 1]) * (times[i + 1] - times[i]))
    # Beyond the grid: what the smooth form costs at the hazard found there.
    left = 1.0 - ended[end]
    hazard = (ended[end] - ended[end - 1]) / ((times[end] - times[end - 1]) * left)
    beyond = left * (math.sqrt(2.0 * poll_cost / max(hazard, LEAST_HAZARD)) + poll_cost)
    follow = [float(end)] * (end + 1)
    height = [0.0] * (end + 1)  # A(s) + W(s)
    height[end] = areas[end] + beyond
    queue = [end]
    head = 0
    candidate, reach = end - 1, end

    for i in range(end - 1, -1, -1):
        now, share = times[i], ended[i]
        while candidate > i and times[candidate] - now >= shortest:
            _add_line(queue, head, candidate, times, height)
            candidate -= 1
        best = queue[head]
        lowest = height[best] - share * times[best]
        while head < len(queue) - 1:
            other = queue[head + 1]
            level = height[other] - share * times[other]
            if level > lowest:
                break
            head, best, lowest = head + 1, other, level
        while times[reach] - now > longest and reach > i + 1:
            reach -= 1
        if best > reach:
            # where the bound forbids the best, the farthest look that it allows wastes the fewest
            best = reach
            lowest = height[best] - share * times[best]
        follow[i] = float(best)
        height[i] = poll_cost * (1.0 - share) + lowest + share * now
    return follow


def _add_line(
    queue: list[int], head: int, new: int, times: Sequence[float], height: Sequence[float]
) -> None:
    """Put the line of a point at the end of the envelope and drop the lines that it lifts off the envelope."""
    while len(queue) - head > 1:
        middle, first = queue[-1], queue[-2]
        if (height[new] - height[middle]) * (times[first] - times[middle]) > (
            height[middle] - height[first]
        ) * (times[middle] - times[new]):
            break
        queue.pop()
    queue.append(new)
