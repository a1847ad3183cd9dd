"""What is to be done when, and what of the overdue comes first."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Generic, TypeVar

__all__ = ["DueQueue"]

T = TypeVar("T")

_PATIENCE = 30.0
"""Seconds after which an overdue item goes first whatever its urgency, so that nobody starves."""

_REFRESH = 1.0
"""Seconds for which an urgency is taken to hold; ranking anew at each look would cost too much."""

_AT_ONCE = 8
"""Items that are ranked in one go. Of more than these, a few are ranked with each that is handed
out, so that neither a hundred thousand at once nor all of them each second hold anybody up."""

_A_FEW = 4


class DueQueue(Generic[T]):
    """A heap of due times; what is due is handed out by urgency.

    ``urgency`` is asked only when more is due than can be done at once. It may grow with time, so
    the ranking is made anew once a second; if there is too much for that, each item is ranked several
    times while the whole queue turns over once.
    """

    def __init__(self, urgency: Callable[[T, float], float]) -> None:
        self._urgency = urgency
        self._tickets = count()
        self._planned: list[tuple[float, int, T]] = []
        self._due: dict[int, tuple[float, T]] = {}
        self._by_age: deque[int] = deque()
        self._unranked: deque[int] = deque()
        # An item may be in both: what was found last counts as soon as it is more urgent.
        self._ranked: list[tuple[float, int]] = []
        self._ranked_before: list[tuple[float, int]] = []
        self._ranked_at = float("-inf")

    def __len__(self) -> int:
        return len(self._planned) + len(self._due)

    def plan(self, item: T, due: float) -> None:
        """Plan an item for a moment."""
        heapq.heappush(self._planned, (due, next(self._tickets), item))

    def next_due(self) -> float | None:
        """Return when the next item is due; a moment in the past if one is overdue."""
        if self._due:
            return self._due[self._oldest()][0]
        return self._planned[0][0] if self._planned else None

    def take(self, now: float, *, by_urgency: bool = True) -> T | None:
        """Return the due item to do next, None if nothing is due.

        Without ``by_urgency`` that is the one that has been due for longest: where all can be done
        at once, ranking them would be work for nothing.
        """
        if not self._due:
            self._forget_ranks(now)
        for _ in range(_AT_ONCE):
            if not (self._planned and self._planned[0][0] <= now):
                break
            due, ticket, item = heapq.heappop(self._planned)
            self._due[ticket] = due, item
            self._by_age.append(ticket)
            self._unranked.appendleft(ticket)
        if not self._due:
            return None
        if len(self._unranked) > 2 * len(self._due) + _AT_ONCE:  # those that went by their age
            self._forget_ranks(float("-inf"))
        oldest = self._oldest()
        alone = not by_urgency or len(self._due) == 1 or self._due[oldest][0] <= now - _PATIENCE
        ticket = oldest if alone else self._most_urgent(now)
        return self._due.pop(ticket)[1]

    def _oldest(self) -> int:
        # Beside the dict, whose first key takes the longer to find the more were removed before it.
        while self._by_age[0] not in self._due:
            self._by_age.popleft()
        return self._by_age[0]

    def _forget_ranks(self, ranked_at: float) -> None:
        self._ranked_at = ranked_at
        self._unranked.clear()
        self._ranked.clear()
        self._ranked_before.clear()

    def _most_urgent(self, now: float) -> int:
        self._rank_some(now)
        best = None
        for ranked in (self._ranked, self._ranked_before):
            while ranked and ranked[0][1] not in self._due:
                heapq.heappop(ranked)
            if ranked and (best is None or ranked[0] < best[0]):
                best = ranked
        assert best is not None
        return heapq.heappop(best)[1]

    def _rank_some(self, now: float) -> None:
        if not self._unranked and now - self._ranked_at >= _REFRESH:
            self._ranked_at = now
            self._ranked, self._ranked_before = [], self._ranked
            self._unranked.extend(self._due)
        few = len(self._unranked) if len(self._unranked) <= _AT_ONCE else _A_FEW
        while self._unranked and few:
            ticket = self._unranked.popleft()
            if ticket in self._due:  # and not gone by its age
                few -= 1
                urgency = self._urgency(self._due[ticket][1], now)
                heapq.heappush(self._ranked, (-urgency, ticket))
