"""What is to be done when, and what of the overdue comes first."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Generic, TypeVar

__all__ = ["Agenda"]

T = TypeVar("T")

_PATIENCE = 30.0
"""Seconds after which an overdue item goes first whatever its urgency, so that nobody starves."""

_REFRESH = 1.0
"""Seconds for which an urgency is taken to hold; ranking anew at each look would cost too much."""


class Agenda(Generic[T]):
    """A heap of due times; what is due is handed out by urgency.

    ``urgency`` is asked only when more is due than can be done at once. It may grow with time, so
    the ranking is made anew once a second.
    """

    def __init__(self, urgency: Callable[[T, float], float]) -> None:
        self._urgency = urgency
        self._tickets = count()
        self._planned: list[tuple[float, int, T]] = []
        self._due: dict[int, tuple[float, T]] = {}
        self._by_age: deque[int] = deque()
        self._unranked: set[int] = set()
        self._ranked: list[tuple[float, int]] = []
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

    def take(self, now: float) -> T | None:
        """Return the due item to do next, None if nothing is due."""
        while self._planned and self._planned[0][0] <= now:
            due, ticket, item = heapq.heappop(self._planned)
            self._due[ticket] = due, item
            self._by_age.append(ticket)
            self._unranked.add(ticket)
        if not self._due:
            return None
        oldest = self._oldest()
        alone = len(self._due) == 1 or self._due[oldest][0] <= now - _PATIENCE
        ticket = oldest if alone else self._most_urgent(now)
        self._unranked.discard(ticket)
        return self._due.pop(ticket)[1]

    def _oldest(self) -> int:
        # Beside the dict, whose first key takes the longer to find the more were removed before it.
        while self._by_age[0] not in self._due:
            self._by_age.popleft()
        return self._by_age[0]

    def _most_urgent(self, now: float) -> int:
        if now - self._ranked_at >= _REFRESH:
            self._ranked_at = now
            self._ranked.clear()
            self._unranked = set(self._due)
        for ticket in self._unranked:
            urgency = self._urgency(self._due[ticket][1], now)
            heapq.heappush(self._ranked, (-urgency, ticket))
        self._unranked.clear()
        while (ticket := heapq.heappop(self._ranked)[1]) not in self._due:
            pass
        return ticket
