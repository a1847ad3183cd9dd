"""Which item is due next and, when polls are scarce, which of the overdue items comes first."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from itertools import count
from typing import Final, Generic, TypeVar

__all__ = ["DueQueue"]

T = TypeVar("T")

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
