"""A session in simulated time: a number of tasks in flight, each polled when its policy says so."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.polling.worlds import Job

WORTH_A_CHANGE = 0.1  # as in the poller


class Policy(Protocol):
    def next_poll(self, job: Job, age: float, jitter: float) -> float: ...

    def still_running(self, job: Job, since: float, age: float) -> None: ...

    def observe(self, job: Job, ran_until: float, ended_by: float) -> None: ...

    def revision(self) -> int: ...


@dataclass(frozen=True)
class Result:
    """Polls and delay (seconds) of every task, in the order of submission."""

    polls: list[int]
    delays: list[float]

    def cost(self, poll_cost: float, first: int = 0, last: int | None = None) -> float:
        """Return the mean cost in seconds of the tasks from `first` up to `last`."""
        polls, delays = self.polls[first:last], self.delays[first:last]
        return (sum(delays) + poll_cost * sum(polls)) / len(polls)


def simulate(
    jobs: Sequence[Job], policy: Policy, *, in_flight: int, seed: int, replan: bool = False
) -> Result:
    """Run all tasks, `in_flight` at a time; the next one is submitted when an end is seen.

    What one poll finds is known to the policy before the next poll is made, but a task is seen to have ended only when
    it is polled, so that the policy learns with the delay that a client has. With `replan`, polls that are due are
    put off, and those of all tasks in flight brought forward whenever the policy says that it has learned enough to
    make that worth it; both only by more than a tenth of the time since the last poll.
    """
    session = _Session(jobs, policy, seed)
    for _ in range(min(in_flight, len(jobs))):
        session.submit(0.0)
    while session.waiting:
        now, task, start, since = heapq.heappop(session.waiting)
        if replan and session.is_put_off(now, task, start, since):
            continue
        session.poll(now, task, start, since)
        if replan:
            session.bring_forward(now)
    return Result(session.polls, session.delays)


class _Session:
    def __init__(self, jobs: Sequence[Job], policy: Policy, seed: int) -> None:
        self.waiting: list[tuple[float, int, float, float]] = []
        """When it is due, the task, when it was submitted, and its age when it was last seen running."""
        self.polls = [0] * len(jobs)
        self.delays = [0.0] * len(jobs)
        self._jobs = jobs
        self._policy = policy
        self._rng = random.Random(seed)
        self._jitters = [0.0] * len(jobs)
        self._submitted = 0
        self._revision = 0

    def submit(self, now: float) -> None:
        self._submitted += 1
        self._plan(self._submitted - 1, now, 0.0)

    def poll(self, now: float, task: int, start: float, since: float) -> None:
        job, age = self._jobs[task], now - start
        self.polls[task] += 1
        if age < job.duration:
            self._policy.still_running(job, since, age)
            self._plan(task, start, age)
            return
        self.delays[task] = age - job.duration
        self._policy.observe(job, since, age)
        if self._submitted < len(self._jobs):
            self.submit(now)

    def is_put_off(self, now: float, task: int, start: float, since: float) -> bool:
        due = self._due(task, start, since)
        if due - now <= WORTH_A_CHANGE * (now - start - since):
            return False
        heapq.heappush(self.waiting, (due, task, start, since))
        return True

    def bring_forward(self, now: float) -> None:
        if self._policy.revision() == self._revision:
            return
        self._revision = self._policy.revision()
        for i, (due, task, start, since) in enumerate(self.waiting):
            sooner = max(self._due(task, start, since), now)
            if due - sooner > WORTH_A_CHANGE * (now - start - since):
                self.waiting[i] = (sooner, task, start, since)
        heapq.heapify(self.waiting)

    def _plan(self, task: int, start: float, age: float) -> None:
        self._jitters[task] = self._rng.random()
        heapq.heappush(self.waiting, (self._due(task, start, age), task, start, age))

    def _due(self, task: int, start: float, age: float) -> float:
        return start + self._policy.next_poll(self._jobs[task], age, self._jitters[task])
