"""A session in simulated time: a number of tasks in flight, each looked at when its policy says so."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.polling.worlds import Job


class Watcher(Protocol):
    def next_look(self, job: Job, age: float, jitter: float) -> float: ...

    def still_running(self, job: Job, since: float, age: float) -> None: ...

    def observe(self, job: Job, ran_until: float, ended_by: float) -> None: ...

    def revision(self) -> int: ...


@dataclass(frozen=True)
class Result:
    """Looks and delay (seconds) of every task, in the order of submission."""

    looks: list[int]
    delays: list[float]

    def cost(self, poll_cost: float, first: int = 0, last: int | None = None) -> float:
        """Return the mean cost in seconds of the tasks from `first` up to `last`."""
        looks, delays = self.looks[first:last], self.delays[first:last]
        return (sum(delays) + poll_cost * sum(looks)) / len(looks)


def simulate(
    jobs: Sequence[Job], watcher: Watcher, *, in_flight: int, seed: int, replan: bool = False
) -> Result:
    """Run all tasks, `in_flight` at a time; the next one is submitted when an end is seen.

    What one look finds is known to the watcher before the next look is made, but a task is seen to have ended only when
    it is looked at, so that the watcher learns with the delay that a client has. With `replan`, the due times of tasks in
    flight are asked for again whenever the watcher says that it has learned enough to make that worth it.
    """
    rng = random.Random(seed)
    looks = [0] * len(jobs)
    delays = [0.0] * len(jobs)
    waiting: list[tuple[float, int, float, float]] = []  # due, task, submitted, last seen running
    submitted = 0
    revision = 0

    def submit(now: float) -> None:
        nonlocal submitted
        due = now + watcher.next_look(jobs[submitted], 0.0, rng.random())
        heapq.heappush(waiting, (due, submitted, now, 0.0))
        submitted += 1

    for _ in range(min(in_flight, len(jobs))):
        submit(0.0)
    while waiting:
        now, task, start, since = heapq.heappop(waiting)
        job, age = jobs[task], now - start
        looks[task] += 1
        if age < job.duration:
            watcher.still_running(job, since, age)
            due = start + watcher.next_look(job, age, rng.random())
            heapq.heappush(waiting, (due, task, start, age))
            continue
        delays[task] = age - job.duration
        watcher.observe(job, since, age)
        if submitted < len(jobs):
            submit(now)
        if replan and watcher.revision() != revision:
            revision = watcher.revision()
            waiting = [
                (max(begun + watcher.next_look(jobs[one], ran, rng.random()), now), one, begun, ran)
                for _, one, begun, ran in waiting
            ]
            heapq.heapify(waiting)
    return Result(looks, delays)
