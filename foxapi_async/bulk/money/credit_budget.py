"""Decides whether one more request fits into a budget of credits. Pure.

What a task costs is known once the server has said what it reserved for it, with its answer to the POST
or to a poll. Until then a task counts as much as the most expensive one of its kind so far. The first
one of each kind is sent alone: nothing else leaves until its cost is known. So the budget is exceeded
at most by the first task of a kind, or if a task costs more than an earlier one of its kind.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Any, Final

import attrs

from foxapi_async import Request

_BILLED_FIELDS: Final = ("resolution", "quality", "size", "duration", "page_count")
"""Fields on which, beside the model and the number of outputs, a cost depends as far as is known."""


def kind_of(request: Request) -> Hashable:
    """Return what requests of equal cost have in common."""
    payload: Mapping[str, Any] = request.payload()
    return request.model, request.num_outputs, *(str(payload.get(f)) for f in _BILLED_FIELDS)


class Room(enum.Enum):
    """Whether another request may be submitted."""

    SUBMIT = enum.auto()
    WAIT = enum.auto()
    """It may fit once the cost of those under way is known."""
    NONE = enum.auto()


@attrs.define(eq=False)
class CreditBudget:
    """The credits that the tasks of a run may reserve, at most ``total``."""

    total: float
    reserved: float = 0.0
    """The sum of what the server has said."""
    _largest: dict[Hashable, float] = attrs.field(factory=dict[Hashable, float], init=False)
    _open: dict[str, Hashable] = attrs.field(factory=dict[str, Hashable], init=False)
    _uncounted: Counter[Hashable] = attrs.field(factory=Counter[Hashable], init=False)
    """How many of each kind may be billed without a known cost, those in ``_open`` included."""
    _first: str | None = attrs.field(default=None, init=False)
    """The open request that is the first of its kind."""
    is_silent: bool = attrs.field(default=False, init=False)
    """Whether the server did not say what a task of an unknown cost reserved."""

    @property
    def used(self) -> float:
        """The credits that are reserved, or expected to be."""
        expected = (self._largest.get(kind, 0.0) * n for kind, n in self._uncounted.items())
        return self.reserved + sum(expected)

    def expected(self, kind: Hashable) -> float | None:
        """Return the cost that a request of a kind is expected to have, None before one is known."""
        return self._largest.get(kind)

    def room_for(self, kind: Hashable) -> Room:
        """Return whether one more request fits."""
        if self.is_silent or self.reserved >= self.total:
            return Room.NONE
        cost = self._largest.get(kind)
        if cost is None:
            # Nothing is known about it, so it leaves alone.
            fits = not self._open and self.used < self.total
        else:
            fits = self._first is None and self.used + cost <= self.total
        if fits:
            return Room.SUBMIT
        return Room.WAIT if self._open else Room.NONE

    def submit(self, key: str, kind: Hashable) -> None:
        """Count a request that is about to be submitted."""
        self._open[key] = kind
        if kind not in self._largest:
            self._first = key
        self._uncounted[kind] += 1

    def is_open(self, key: str) -> bool:
        """Return whether a request was counted whose cost is not known."""
        return key in self._open

    def settle(self, key: str, cost: float) -> None:
        """Count what the server has reserved for the task of a request."""
        kind = self._withdraw(key)
        cost = max(cost, 0.0)
        self.reserved += cost
        self._largest[kind] = max(cost, self._largest.get(kind, 0.0))

    def release(self, key: str) -> None:
        """Count a request no longer, because it was not billed."""
        self._withdraw(key)

    def lose(self, key: str, *, was_answered: bool) -> None:
        """Count a request like the others of its kind for good, because its cost will not be known.

        ``was_answered`` is whether there is a task: then the server does not say what tasks cost.
        """
        kind = self._close(key)
        if was_answered and kind not in self._largest:
            self.is_silent = True

    def _withdraw(self, key: str) -> Hashable:
        kind = self._close(key)
        self._uncounted[kind] -= 1
        if not self._uncounted[kind]:
            del self._uncounted[kind]
        return kind

    def _close(self, key: str) -> Hashable:
        if key == self._first:
            self._first = None
        return self._open.pop(key)
