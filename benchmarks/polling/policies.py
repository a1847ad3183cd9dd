"""Polling policies: ours, the optimum, and what clients do today."""

from __future__ import annotations

import math
from functools import cache

from benchmarks.polling.optimum import Plan, optimal_plan
from benchmarks.polling.worlds import Job, Mixture, survival
from foxapi_async.polling.schedule import Schedule


class Stateless:
    def still_running(self, job: Job, since: float, age: float) -> None:
        pass

    def observe(self, job: Job, ran_until: float, ended_by: float) -> None:
        pass

    def revision(self) -> int:
        return 0


class Ours:
    """The schedule of the package, learning as it goes."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    def next_poll(self, job: Job, age: float, jitter: float) -> float:
        return self.schedule.next_poll("all", job.estimate, age, jitter=jitter)

    def still_running(self, job: Job, since: float, age: float) -> None:
        self.schedule.still_running("all", job.estimate, since, age)

    def observe(self, job: Job, ran_until: float, ended_by: float) -> None:
        self.schedule.observe("all", job.estimate, ran_until, ended_by)

    def revision(self) -> int:
        return self.schedule.revision("all")


class Optimum(Stateless):
    """Knows the distribution of every task and follows the exact optimum for it."""

    def __init__(self, poll_cost: float) -> None:
        self.poll_cost = poll_cost

    def next_poll(self, job: Job, age: float, jitter: float) -> float:
        del jitter
        return plan_for(job.truth, self.poll_cost).next_poll(age)


class Fixed(Stateless):
    def __init__(self, interval: float) -> None:
        self.interval = interval

    def next_poll(self, job: Job, age: float, jitter: float) -> float:
        del job, jitter
        return age + self.interval


class Backoff(Stateless):
    """Exponential: each interval is longer than the one before by a factor, up to a longest one."""

    def __init__(self, first: float = 1.0, factor: float = 1.5, longest: float = 10.0) -> None:
        self.first, self.factor, self.longest = first, factor, longest

    def next_poll(self, job: Job, age: float, jitter: float) -> float:
        del job, jitter
        # the interval follows from the age: ages are the partial sums of a geometric series
        interval = self.first + age * (self.factor - 1.0)
        return age + min(interval, self.longest)


class EstimateThenOneSecond(Stateless):
    """Sleep for the estimate, then poll every second; without a usable estimate just the latter."""

    def next_poll(self, job: Job, age: float, jitter: float) -> float:
        del jitter
        estimate = job.estimate
        if age <= 0.0 and estimate is not None and 1.0 < estimate < 86_400.0:
            return estimate
        return age + 1.0


@cache
def plan_for(truth: Mixture, poll_cost: float) -> Plan:
    """Return the exact optimum for a mixture of log-normals."""
    start = min(median * math.exp(-5.5 * sigma) for _, median, sigma in truth)
    end = max(median * math.exp(5.5 * sigma) for _, median, sigma in truth)
    return optimal_plan(survival(truth), start=start, end=end, poll_cost=poll_cost)
