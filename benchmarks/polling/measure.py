"""One row of the table: a world, our cost in it, and the cost of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Row:
    """Means over all seeds. Costs are in seconds per task."""

    world: World
    optimum: float  # of the tasks submitted after 100 ends (and after the shift, if there is one)
    first: float  # our cost of the first 50 tasks over the optimum, `in_flight` at a time
    first_few: float  # the same with 8 in flight
    first_one: float  # the same one by one
    settled: float  # our cost over the optimum, after 100 ends
    polls: float  # ours, after 100 ends
    delay: float
    whole: float  # our cost over the whole run
    best_fixed: float  # cost over the whole run of the fixed interval that is best in hindsight
    best_interval: float
    fixed: tuple[float, ...]
    backoff: float
    estimate_first: float


def measure(world: World, setting: Setting) -> Row:
    k = setting.poll_cost
    runs: list[tuple[list[Job], Result]] = []
    for seed in range(setting.seeds):
        jobs = world.jobs(setting.tasks, seed)
        ours = Ours(setting.schedule())
        runs.append(
            (
                jobs,
                simulate(jobs, ours, in_flight=setting.in_flight, seed=seed, replan=setting.replan),
            )
        )
    # a task submitted when 100 have ended is the 100 + in_flight-th
    start = int(world.settled_after * setting.tasks)
    late = start + LEARNED + setting.in_flight
    optimum = fmean(plan_for(job.truth, k).cost for jobs, _ in runs for job in jobs[late:])
    everything = [job for jobs, _ in runs for job in jobs]
    best, interval = min((fixed_cost(everything, i, k), i) for i in (*HINDSIGHT, *FIXED))
    settled = optimum + fmean(_excess(jobs, result, k, late) for jobs, result in runs)
    return Row(
        world=world,
        optimum=optimum,
        first=_first(world, setting, setting.in_flight),
        first_few=_first(world, setting, 8),
        first_one=_first(world, setting, 1),
        settled=settled / optimum,
        polls=fmean(count for _, result in runs for count in result.polls[late:]),
        delay=fmean(delay for _, result in runs for delay in result.delays[late:]),
        whole=fmean(result.cost(k) for _, result in runs),
        best_fixed=best,
        best_interval=interval,
        fixed=tuple(fixed_cost(everything, i, k) for i in FIXED),
        backoff=_cost_of(Backoff(), everything, k),
        estimate_first=_cost_of(EstimateThenOneSecond(), everything, k),
    )


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
