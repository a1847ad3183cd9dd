"""Holds back the requests of a run as its budget of credits demands."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable

import attrs

from foxapi_async import BudgetExceededError, FoxAPIError, Outcome, Request, Task
from foxapi_async._concurrency import Signal
from foxapi_async.bulk.money.credit_budget import CreditBudget, Room, kind_of
from foxapi_async.bulk.results.results_file import credits_of


@attrs.define(eq=False)
class CreditGate:
    """Admits requests within a budget, and calls ``stop`` when it is used up."""

    _budget: CreditBudget
    _stop: Callable[[FoxAPIError], None]
    _changed: Signal = attrs.field(factory=Signal, init=False)

    async def admit(self, key: str, request: Request) -> bool:
        """Wait until a request may be submitted; return False if it may not."""
        budget, kind = self._budget, kind_of(request)
        while (room := budget.room_for(kind)) is Room.WAIT:
            await self._changed.wait()
        if room is Room.NONE:
            self._stop(self._error(kind))
            return False
        budget.submit(key, kind)
        return True

    def task_changed(self, key: str | None, task: Task) -> None:
        """Take note of what the server says about the task of a request."""
        if key is not None and self._budget.is_open(key) and (cost := credits_of(task)) is not None:
            self._budget.settle(key, cost)
            self._changed.set()

    def ended(self, outcome: Outcome) -> None:
        """Take note of the outcome of a request."""
        key, task = outcome.key, outcome.task
        if task is not None:
            self.task_changed(key, task)
        if key is None or not self._budget.is_open(key):
            return
        if outcome.status in {"rejected", "not_submitted"}:
            self._budget.release(key)
        else:
            self._budget.lose(key, was_answered=outcome.status != "unknown")
        self._changed.set()

    def _error(self, kind: Hashable) -> FoxAPIError:
        budget = self._budget
        used, cost = budget.used, budget.expected(kind)
        if budget.is_silent:
            text = (
                "the server does not say how many credits a task reserves, so the budget of "
                f"{_text(budget.total)} credits cannot be kept; nothing more is submitted"
            )
        else:
            text = f"{_text(used)} of {_text(budget.total)} credits are reserved in this run"
            if cost is not None:
                text += f", and the next request is expected to need {_text(cost)}"
        return BudgetExceededError(
            text,
            total=math.floor(budget.total),
            used=math.ceil(used),
            requested=math.ceil(cost or 0),
        )


def _text(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,}"
