"""One row of the table: a world, our cost in it, and the cost of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from benchmarks.polling.policies import (
    Backoff,
    EstimateThenOneSecond,
    Optimum,
    Ours,
    plan_for,
)
from benchmarks.polling.simulate import Policy, Result, simulate
from benchmarks.polling.worlds import Job, World
from foxapi_async.polling.schedule import Schedule

LEARNED = 100  # ends after which the schedule counts as having learned
FIRST = 50
FIXED = (0.1, 0.5, 1.0, 5.0, 8.0, 10.0)
HINDSIGHT = [0.3 * 1.12**i for i in range(48)]  # 0.3 to 62 s


@dataclass(frozen=True)
class Setting:
    """How a world is run; costs in seconds."""

    poll_cost: float = 0.25
    max_interval: float = 180.0
    in_flight: int = 32
    tasks: int = 600
    seeds: int = 2
    replan: bool = True

    def schedule(self) -> Schedule:
        return Schedule(poll_cost=self.poll_cost, max_interval=self.max_interval)


class Row:
    """Means over all seeds, each computed when it is read. Costs are in seconds per task."""

    def __init__(self, world: World, setting: Setting) -> None:
        self.world = world
        self._setting = setting
        # A task submitted when 100 have ended is the 100 + in_flight-th.
        start = int(world.settled_after * setting.tasks)
        self._late = start + LEARNED + setting.in_flight

    @cached_property
    def optimum(self) -> float:
        """Of the tasks submitted after 100 ends, and after the shift, if there is one."""
        late = [job for jobs, _ in self._runs for job in jobs[self._late :]]
        return fmean(plan_for(job.truth, self._setting.poll_cost).cost for job in late)

    @cached_property
    def first(self) -> float:
        """Our cost of the first 50 tasks over the optimum, `in_flight` at a time."""
        return _first(self.world, self._setting, self._setting.in_flight)

    @cached_property
    def first_few(self) -> float:
        """The same with 8 in flight."""
        return _first(self.world, self._setting, 8)

    @cached_property
    def first_one(self) -> float:
        """The same one by one."""
        return _first(self.world, self._setting, 1)

    @cached_property
    def settled(self) -> float:
        """Our cost over the optimum, after 100 ends."""
        k = self._setting.poll_cost
        more = fmean(_excess(jobs, result, k, self._late) for jobs, result in self._runs)
        return (self.optimum + more) / self.optimum

    @cached_property
    def polls(self) -> float:
        """Our polls of a task, after 100 ends."""
        return fmean(count for _, result in self._runs for count in result.polls[self._late :])

    @cached_property
    def delay(self) -> float:
        """Our delay of a task, after 100 ends."""
        return fmean(delay for _, result in self._runs for delay in result.delays[self._late :])

    @cached_property
    def whole(self) -> float:
        """Our cost over the whole run."""
        return fmean(result.cost(self._setting.poll_cost) for _, result in self._runs)

    @cached_property
    def fixed(self) -> tuple[float, ...]:
        """The cost over the whole run of each fixed interval."""
        return tuple(fixed_cost(self._jobs, i, self._setting.poll_cost) for i in FIXED)

    @property
    def best_fixed(self) -> float:
        """The cost over the whole run of the fixed interval that is best in hindsight."""
        return self._best[0]

    @property
    def best_interval(self) -> float:
        return self._best[1]

    @cached_property
    def backoff(self) -> float:
        return _cost_of(Backoff(), self._jobs, self._setting.poll_cost)

    @cached_property
    def estimate_first(self) -> float:
        return _cost_of(EstimateThenOneSecond(), self._jobs, self._setting.poll_cost)

    @cached_property
    def _runs(self) -> list[tuple[list[Job], Result]]:
        setting = self._setting
        runs: list[tuple[list[Job], Result]] = []
        for seed in range(setting.seeds):
            jobs = self.world.jobs(setting.tasks, seed)
            ours = Ours(setting.schedule())
            result = simulate(
                jobs, ours, in_flight=setting.in_flight, seed=seed, replan=setting.replan
            )
            runs.append((jobs, result))
        return runs

    @property
    def _jobs(self) -> list[Job]:
        return [job for jobs, _ in self._runs for job in jobs]

    @cached_property
    def _best(self) -> tuple[float, float]:
        k, jobs = self._setting.poll_cost, self._jobs
        return min((fixed_cost(jobs, i, k), i) for i in (*HINDSIGHT, *FIXED))


def _first(world: World, setting: Setting, in_flight: int) -> float:
    """Return our cost of the first tasks of a session that knows nothing, over the optimum."""
    more = best = 0.0
    for seed in range(4 * setting.seeds):
        jobs = world.jobs(2 * FIRST, 1000 + seed)[:FIRST]  # before a shift
        ours = Ours(setting.schedule())
        result = simulate(jobs, ours, in_flight=in_flight, seed=seed, replan=setting.replan)
        more += _excess(jobs, result, setting.poll_cost, 0)
        best += fmean(plan_for(job.truth, setting.poll_cost).cost for job in jobs)
    return 1.0 + more / best


def _excess(jobs: Sequence[Job], result: Result, poll_cost: float, start: int) -> float:
    """Return by how much a task cost more than under the optimum, on the same durations to take chance out of it."""
    return result.cost(poll_cost, start) - _cost_of(Optimum(poll_cost), jobs[start:], poll_cost)


def fixed_cost(jobs: Sequence[Job], interval: float, poll_cost: float) -> float:
    total = 0.0
    for job in jobs:
        polls = int(job.duration / interval) + 1
        total += polls * (interval + poll_cost) - job.duration
    return total / len(jobs)


def _cost_of(policy: Policy, jobs: Sequence[Job], poll_cost: float) -> float:
    return simulate(jobs, policy, in_flight=len(jobs), seed=0).cost(poll_cost)
