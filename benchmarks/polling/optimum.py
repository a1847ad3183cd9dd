"""The optimum: exact dynamic programming of the inspection problem for a known distribution.

With F the distribution of the duration T, a schedule of polls t1 < t2 < ... costs

    E[cost] = E[t_seen - T] + poll_cost * E[polls].

Let W(t) be the expected cost from a poll at t onwards, times the chance S(t) = 1 - F(t) that the poll finds the
task running. Bellman's equation is

    W(t) = min over s > t of  poll_cost * S(t) + integral from t to s of (F(u) - F(t)) du + W(s)

because the next poll is made whenever the task runs at t, and a second of delay passes for every second in which the
task has ended since t and has not been seen. W(0) is the least cost that any schedule can have. Time is divided finely
(16 points per poll, spaced by the smooth density of polls, so that points are dense where polls are), and the minimum is
found by walking all s until the cost of delay alone exceeds the best so far. No bound on intervals applies here: a
client that keeps a shortest interval can only be worse.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence

POINTS_PER_POLL = 16  # 64 change the cost by less than 0.1 %
TAIL = 1e-6  # the plan covers all but this share of the tasks


class Plan:
    """The ages of an optimal schedule and its expected cost."""

    def __init__(self, ages: Sequence[float], cost: float) -> None:
        self.ages = list(ages)
        self.cost = cost

    def next_poll(self, age: float) -> float:
        index = bisect_right(self.ages, age + 1e-9)
        if index < len(self.ages):
            return self.ages[index]
        return age * 1.2 + 1.0


def optimal_plan(
    survival: Callable[[float], float],
    *,
    start: float,
    end: float,
    poll_cost: float,
    points_per_poll: int = POINTS_PER_POLL,
) -> Plan:
    """Return the best schedule for tasks that end between `start` and `end` seconds with the given survival."""
    times = _points(survival, start, end, poll_cost, points_per_poll)
    tail = [survival(t) for t in times]
    ended = [1.0 - s for s in tail]
    area = [0.0]  # integral of F; trapezoids
    for i in range(1, len(times)):
        area.append(area[-1] + 0.5 * (ended[i] + ended[i - 1]) * (times[i] - times[i - 1]))
    count = len(times)
    worth = [0.0] * count
    follow = [count - 1] * count
    for i in range(count - 2, -1, -1):
        best, at = math.inf, count - 1
        ended_i, area_i, time_i = ended[i], area[i], times[i]
        for j in range(i + 1, count):
            delay = area[j] - area_i - ended_i * (times[j] - time_i)
            if delay > best:
                break
            if delay + worth[j] < best:
                best, at = delay + worth[j], j
        worth[i] = poll_cost * tail[i] + best
        follow[i] = at
    ages = []
    i = 0
    while i < count - 1:
        i = follow[i]
        ages.append(times[i])
    return Plan(ages, worth[0])


def _points(
    survival: Callable[[float], float], start: float, end: float, poll_cost: float, per_poll: int
) -> list[float]:
    while survival(end) < TAIL:
        end *= 0.98
    fine = 20_000
    ratio = (end / start) ** (1.0 / fine)
    points = [0.0]
    before, chance, polls = start, survival(start), 0.0
    for k in range(1, fine + 1):
        now = start * ratio**k
        left = survival(now)
        if left <= 0.0:
            break
        hazard = math.log(chance / left)
        # a floor keeps points in gaps between two modes
        polls += math.sqrt(max(hazard, 1e-6) * (now - before) / (2.0 * poll_cost))
        if polls * per_poll >= len(points):
            points.append(now)
        before, chance = now, left
    return points
