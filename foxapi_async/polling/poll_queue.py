"""When each task of a session is polled next, which overdue poll comes first, and which waits have expired.

A poll is planned when its task is tracked and after each poll. When the schedule has learned
something, planned polls move: those that should come earlier move soon after, a few tasks in each
turn of the event loop; those that should come later move when they are due.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Hashable, Iterator, Mapping
from itertools import count, islice
from typing import Final, Generic, TypeVar

from foxapi_async._concurrency import DeadlineTimer
from foxapi_async.options import Polling
from foxapi_async.polling.schedule import Schedule
from foxapi_async.polling.tracked_task import TrackedTask

T = TypeVar("T")

_SIGNIFICANT: Final = 0.1
"""A planned poll moves only by more than this part of the time since the last poll: near the optimum a
tenth is not worth a wake-up."""

_REPLANNED_PER_TURN: Final = 200
"""Tasks that are replanned in one turn of the event loop: about half a millisecond of work."""


_PATIENCE: Final = 30.0
"""Seconds after which an overdue item goes first whatever its urgency, so that none starves."""

_REFRESH: Final = 1.0
"""Seconds for which an urgency is used before it is computed again."""

_RANKED: Final = 1_000
"""Most items that are ranked at a time: those that have been due for longest."""

_RANKED_PER_TAKE: Final = 64
"""Most items that one call ranks, so that a hundred thousand due items do not block the event loop."""


class DueQueue(Generic[T]):
    """A heap of due times that hands out due items by urgency.

    ``urgency(item, now)`` is called only when more than one item is due.
    """

    def __init__(self, urgency: Callable[[T, float], float]) -> None:
        self._urgency = urgency
        self._tickets = count()
        self._planned: list[tuple[float, int, T]] = []  # due, ticket, item
        # whether it can wait, -urgency (or due if it cannot), ticket, due, item
        self._ranked: list[tuple[bool, float, int, float, T]] = []
        self._ranked_at = -math.inf

    def __len__(self) -> int:
        return len(self._planned) + len(self._ranked)

    def plan(self, item: T, due: float) -> None:
        """Add an item that is due at a moment."""
        heapq.heappush(self._planned, (due, next(self._tickets), item))

    def next_due(self) -> float | None:
        """Return when the next item is due, a moment in the past if one is overdue; None if there is none."""
        if self._ranked:
            return self._ranked[0][3]
        return self._planned[0][0] if self._planned else None

    def take(self, now: float, *, by_urgency: bool = True) -> T | None:
        """Remove and return the due item to handle next; None if nothing is due.

        Without ``by_urgency`` that is the item that has been due for longest.
        """
        planned, ranked = self._planned, self._ranked
        if ranked and not (by_urgency and now - self._ranked_at < _REFRESH):
            for _, _, ticket, due, item in ranked:
                heapq.heappush(planned, (due, ticket, item))
            ranked.clear()
        if not ranked:
            if not (planned and planned[0][0] <= now):
                return None
            first = heapq.heappop(planned)
            if not by_urgency or not planned or planned[0][0] > now:
                return first[2]
            heapq.heappush(planned, first)
            self._ranked_at = now
        for _ in range(min(_RANKED_PER_TAKE, _RANKED - len(ranked))):
            if not planned or planned[0][0] > now:
                break
            due, ticket, item = heapq.heappop(planned)
            can_wait = due > now - _PATIENCE
            rank = -self._urgency(item, now) if can_wait else due
            heapq.heappush(ranked, (can_wait, rank, ticket, due, item))
        return heapq.heappop(ranked)[4]


_Costs = tuple[float, float, float]


def _costs(polling: Polling) -> _Costs:
    return polling.poll_cost, polling.min_interval, polling.max_interval


class PollQueue:
    """Plans the polls of the tasks in a mapping by id, from which a task may be removed at any time."""

    def __init__(
        self, tasks: Mapping[str, TrackedTask], schedule: Schedule, polling: Polling
    ) -> None:
        self.timer: DeadlineTimer = DeadlineTimer()
        """Fires when a poll or a deadline is due."""
        self._tasks = tasks
        self._schedule = schedule
        self._polling = polling
        self._schedules: dict[_Costs, Schedule] = {_costs(polling): schedule}
        # Of ids rather than tasks: the garbage collector skips tuples of strings and numbers, which
        # shortens its pauses with 100,000 tasks in flight (`benchmarks.scale`).
        self._due: DueQueue[str] = DueQueue(self._chance_of_end)
        self._deadlines: list[tuple[float, str]] = []
        self._learned: set[Hashable] = set()
        self._replanned_groups: frozenset[Hashable] = frozenset()
        self._to_replan: Iterator[TrackedTask] = iter(())

    def add(self, tracked: TrackedTask, now: float, *, first_poll: float | None = None) -> None:
        """Plan the first poll of a task: by schedule, or at a given moment."""
        heapq.heappush(self._deadlines, (tracked.deadline, tracked.id))
        if first_poll is None:
            self.plan(tracked, now)
        else:
            self.plan_at(tracked, first_poll)

    def plan(self, tracked: TrackedTask, now: float) -> None:
        """Plan the next poll by schedule, unless the deadline comes first."""
        schedule, polling = self._schedule, self._polling
        if tracked.view is not None:
            schedule, polling = self._schedule_of(tracked), tracked.view.polling
        due = tracked.next_poll(schedule, polling, now, random.random())  # noqa: S311
        if due is not None:
            self.plan_at(tracked, due)
        else:
            self.timer.set(tracked.deadline)

    def plan_at(self, tracked: TrackedTask, due: float) -> None:
        """Plan the next poll for a moment."""
        tracked.due = due
        self._due.plan(tracked.id, due)
        self.timer.set(due)

    def is_due(self, now: float) -> bool:
        """Whether a poll is due; if not, the timer is set for the next one."""
        due = self._due.next_due()
        if due is None:
            return False
        if due > now:
            self.timer.set(due)
        return due <= now

    def take(self, now: float, *, by_chance: bool) -> TrackedTask | None:
        """Take one due poll from the queue; None if that one is no longer needed.

        With ``by_chance`` that of the task that has most likely ended, else the one due for longest.
        """
        tracked = self._tasks.get(self._due.take(now, by_urgency=by_chance) or "")
        # The queue still holds the former plans of a task that was replanned.
        if tracked is None or tracked.due > now:
            return None
        due = tracked.replanned(
            self._schedule if tracked.view is None else self._schedule_of(tracked)
        )
        if due - now > _SIGNIFICANT * (now - tracked.started - tracked.running_at):
            self.plan_at(tracked, due)
            return None
        tracked.due = math.inf
        return tracked

    def take_expired(self, now: float, most: int) -> list[TrackedTask]:
        """Take at most so many tasks whose deadline has passed."""
        expired: list[TrackedTask] = []
        for _ in range(most):
            if not self._deadlines or self._deadlines[0][0] > now:
                break
            tracked = self._tasks.get(heapq.heappop(self._deadlines)[1])
            if tracked is not None and tracked.deadline <= now:
                expired.append(tracked)
        if len(self._deadlines) > 2 * len(self._tasks) + 1000:  # mostly tasks that ended long ago
            self._deadlines = [(tracked.deadline, id_) for id_, tracked in self._tasks.items()]
            heapq.heapify(self._deadlines)
        if self._deadlines:
            self.timer.set(self._deadlines[0][0])
        return expired

    def has_expired(self, now: float) -> bool:
        """Whether a deadline has passed; if not, the timer is set for the next one."""
        if not self._deadlines:
            return False
        self.timer.set(self._deadlines[0][0])
        return self._deadlines[0][0] <= now

    def learn_running(self, tracked: TrackedTask, before: float) -> None:
        """Learn that a task ran at its last poll, after one at the age ``before``."""
        if tracked.running_at > before and not tracked.attached:
            self._schedule.still_running(
                tracked.group, tracked.estimate, before, tracked.running_at
            )

    def learn_end(self, tracked: TrackedTask, age: float) -> None:
        """Learn when a task ended, and replan the other tasks of its group if that is news."""
        if tracked.attached:
            return
        group = tracked.group
        revision = self._schedule.revision(group)
        ended_by = age if tracked.ended_at is None else tracked.ended_at
        self._schedule.observe(group, tracked.estimate, tracked.running_at, ended_by)
        if self._tasks and self._schedule.revision(group) != revision:
            self._learned.add(group)
            self.timer.wake()

    def replan_some(self, now: float) -> bool:
        """Move planned polls forward where that is better now; return whether more are left.

        What is learned meanwhile counts for the tasks still to come; the rest of the group follows
        in another round.
        """
        if not self._replanned_groups:
            if not self._learned:
                return False
            self._replanned_groups, self._learned = frozenset(self._learned), set()
            self._to_replan = iter(tuple(self._tasks.values()))
        some = list(islice(self._to_replan, _REPLANNED_PER_TURN))
        for tracked in some:
            if tracked.group in self._replanned_groups and not tracked.ended:
                self._move_forward(tracked, now)
        if len(some) < _REPLANNED_PER_TURN:
            self._replanned_groups, self._to_replan = frozenset(), iter(())
        return bool(self._replanned_groups or self._learned)

    def _schedule_of(self, tracked: TrackedTask) -> Schedule:
        if tracked.view is None:
            return self._schedule
        costs = _costs(tracked.view.polling)
        if costs not in self._schedules:
            self._schedules[costs] = self._schedule.sharing(*costs)
        return self._schedules[costs]

    def _move_forward(self, tracked: TrackedTask, now: float) -> None:
        significant = _SIGNIFICANT * (now - tracked.started - tracked.running_at)
        if tracked.due - now <= significant:
            return
        due = max(tracked.replanned(self._schedule_of(tracked)), now)
        if tracked.due - due > significant:
            self.plan_at(tracked, due)

    def _chance_of_end(self, task_id: str, now: float) -> float:
        tracked = self._tasks.get(task_id)
        if tracked is None:
            return 1.0  # a task that has ended leaves the queue first, at no cost
        return self._schedule.chance(
            tracked.group, tracked.estimate, tracked.running_at, now - tracked.started
        )
