"""When to look at a task next: from a distribution of durations to the ages of its looks."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Hashable
from itertools import accumulate

_STEP = 0.05
_SHORTEST, _LONGEST = 0.1, 86_400.0  # seconds; an estimate beyond them is taken for a missing one
_EARLIEST = 0.01
_FIRST = math.log(_EARLIEST)
_GRID = [_FIRST + _STEP * i for i in range(330)]


class Schedule:
    """Tells at which age to look at a task, and which task to look at first.

    All ages, estimates and intervals are seconds since the submission of the task. `poll_cost` is how many
    seconds of delay one look is worth.
    """

    def __init__(
        self, *, poll_cost: float = 0.25, min_interval: float = 0.5, max_interval: float = 60.0
    ) -> None:
        self._poll_cost = poll_cost
        self._min = min_interval
        self._max = max_interval
        self._tables: dict[int, tuple[list[float], list[float]]] = {}

    def next_look(
        self, group: Hashable, estimate: float | None, age: float, *, jitter: float = 0.5
    ) -> float:
        """Return the age at which to look next at a task that was still running at `age`."""
        del group
        age = max(age, 0.0) if math.isfinite(age) else 0.0
        looks, _ = self._table(estimate)
        done = _at(looks, age)
        aim = done + (0.5 if age <= 0.0 else 1.0) + 0.2 * (jitter - 0.5)
        index = bisect_right(looks, aim)
        due = math.exp(_GRID[min(index, len(_GRID) - 1)])
        longest = self._max * (1.0 - 0.1 * jitter)
        return age + min(max(due - age, self._min), max(longest, self._min))

    def chance(
        self, group: Hashable, estimate: float | None, seen_running_at: float, age: float
    ) -> float:
        """Return the probability that a task that ran at `seen_running_at` has ended by `age`."""
        del group
        _, hazard = self._table(estimate)
        return -math.expm1(
            _at(hazard, seen_running_at) - max(_at(hazard, age), _at(hazard, seen_running_at))
        )

    def observe(
        self, group: Hashable, estimate: float | None, ran_until: float, ended_by: float
    ) -> None:
        """Learn that a task ended after the age `ran_until` and not later than at the age `ended_by`."""

    def to_json(self) -> dict[str, object]:
        """Return what was learned as a JSON-serialisable mapping."""
        return {"version": 1, "groups": []}

    @classmethod
    def from_json(
        cls,
        data: object,
        *,
        poll_cost: float = 0.25,
        min_interval: float = 0.5,
        max_interval: float = 60.0,
    ) -> Schedule:
        """Return a schedule that knows what `to_json` exported; what it cannot read, it ignores."""
        del data
        return cls(poll_cost=poll_cost, min_interval=min_interval, max_interval=max_interval)

    def _table(self, estimate: float | None) -> tuple[list[float], list[float]]:
        centre = estimate if estimate is not None and _SHORTEST <= estimate <= _LONGEST else 20.0
        shift = round(math.log(centre) / _STEP)
        table = self._tables.get(shift)
        if table is None:
            table = self._tables[shift] = self._build(shift * _STEP)
        return table

    def _build(self, centre: float) -> tuple[list[float], list[float]]:
        survival = [
            0.85 * _normal_tail((u - centre) / 0.8) + 0.15 * _normal_tail((u - centre) / 1.6)
            for u in _GRID
        ]
        cumulated = [-math.log(max(s, 1e-300)) for s in survival]
        steps = [0.0] + [
            math.sqrt(max(b - a, 0.0) * (math.exp(v) - math.exp(u)) / (2.0 * self._poll_cost))
            for a, b, u, v in zip(cumulated, cumulated[1:], _GRID, _GRID[1:], strict=False)
        ]
        return list(accumulate(steps)), cumulated


def _at(values: list[float], age: float) -> float:
    """Return the tabulated value at an age, linear in the logarithm of the age."""
    if not age > _EARLIEST:
        return values[0]
    place = min((math.log(age) - _FIRST) / _STEP, len(values) - 1.001)
    index = int(place)
    return values[index] + (values[index + 1] - values[index]) * (place - index)


def _normal_tail(z: float) -> float:
    return 0.5 * math.erfc(z / math.sqrt(2.0))
