"""The tasks of the benchmark server: their durations and the times of polls."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Sequence
from typing import Any

import attrs

WARM_UP = 0.3
"""Duration in seconds of the first task after each plan, which is not counted."""


@attrs.define
class Order:
    """One task; times are of the server's monotonic clock."""

    id: str
    dialect: str
    created: float
    ends: float
    polls: list[float] = attrs.field(factory=list[float])
    reported: float | None = None

    @property
    def seconds(self) -> float:
        return self.ends - self.created

    def poll(self) -> bool:
        """Record a poll, and return whether the task has ended."""
        now = time.monotonic()
        if self.reported is None:
            self.polls.append(now)
            if now >= self.ends:
                self.reported = now
        return now >= self.ends


class Orders:
    """Tasks by order of submission; durations are assigned in that order."""

    def __init__(self) -> None:
        self.plan([])

    def plan(
        self, durations: Sequence[float], *, estimate: float | None = None, lose: bool = False
    ) -> None:
        """Reset, with new durations; with ``lose`` submissions get no answer."""
        self._durations = durations
        self.estimate = estimate
        self.lose = lose
        self.orders: dict[str, Order] = {}
        self.submissions = 0
        self._warm = lose

    def submit(self, dialect: str) -> Order:
        """Create a task."""
        now = time.monotonic()
        if not self._warm:
            self._warm = True
            order = Order(f"warm-up-{dialect}", dialect, now, now + WARM_UP)
            self._warm_up = order
            return order
        seconds = self._durations[self.submissions % len(self._durations)]
        self.submissions += 1
        id_ = f"task-unified-1760000000-{self.submissions:08d}"
        order = self.orders[id_] = Order(id_, dialect, now, now + seconds)
        return order

    def find(self, id_: str) -> Order | None:
        """Return a task by its id."""
        return self._warm_up if id_.startswith("warm-up") else self.orders.get(id_)

    def report(self, *, ages: bool = False) -> dict[str, Any]:
        """Return the counts since the last plan."""
        orders = self.orders.values()
        lags = sorted(order.reported - order.ends for order in orders if order.reported is not None)
        report: dict[str, Any] = {
            "submissions": self.submissions,
            "delivered": len(lags),
            "polls": sum(len(order.polls) for order in orders),
            "lag": statistics.median(lags) if lags else math.nan,
            "lag_95": lags[int(0.95 * len(lags))] if lags else math.nan,
        }
        if ages:
            report["ages"] = [[poll - o.created for poll in o.polls] for o in orders]
        return report


def durations(n: int, *, median: float, sigma: float = 0.5, seed: int = 20261122) -> list[float]:
    """Return log-normal durations in seconds, the same for every client."""
    rng = random.Random(seed)
    return [median * math.exp(rng.gauss(0.0, sigma)) for _ in range(n)]
