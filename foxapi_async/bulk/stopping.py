"""Why and how a run stops before its job is done."""

from __future__ import annotations

import asyncio
from typing import Protocol

import anyio
import attrs

from foxapi_async import FoxAPIError, errors


class Submitting(Protocol):
    """What submits the requests of a run: the outcomes of `Session.map`, or an engine."""

    @property
    def stopped_by(self) -> FoxAPIError | None:
        """Why nothing more is submitted; None while everything is."""

    def stop_submitting(self, reason: FoxAPIError) -> None:
        """Submit nothing more."""

    def stop_reading(self) -> None:
        """Read no more of the input; what was read is still submitted."""


@attrs.define(eq=False)
class Stopping:
    """The state of a run that is asked to stop, or that must stop; nothing is lost in either case."""

    reason: FoxAPIError | None = None
    error: Exception | None = None  # raised to the reader after the last result
    interrupted: bool = False
    timed_out: bool = False
    scope: anyio.CancelScope = attrs.field(factory=anyio.CancelScope)
    _outcomes: Submitting | None = None

    def attach(self, outcomes: Submitting) -> None:
        """Set what a stop acts on."""
        self._outcomes = outcomes
        if self.reason is not None:
            outcomes.stop_submitting(self.reason)

    @property
    def stopped_by(self) -> FoxAPIError | None:
        """The fatal answer after which the session submits nothing more."""
        return None if self._outcomes is None else self._outcomes.stopped_by

    @property
    def is_ending(self) -> bool:
        """Whether the run is to end although not everything is done."""
        return self.interrupted or self.timed_out or self.error is not None

    def stop(self, reason: FoxAPIError) -> None:
        """Submit nothing more; what is in flight is brought home."""
        if self.reason is None:
            self.reason = reason
        if self._outcomes is None:
            return
        if isinstance(reason, errors.BudgetExceededError):
            # The requests that were read before this one have their share of the budget.
            self._outcomes.stop_reading()
        else:
            self._outcomes.stop_submitting(reason)

    def fail(self, error: Exception) -> None:
        """Stop because of an error, which is raised to the reader after the last result."""
        self.error = self.error or error
        if not isinstance(error, FoxAPIError):
            error = FoxAPIError(f"the run failed unexpectedly: {error!r}")
        self.stop(error)

    def interrupt(self, grace: float) -> None:
        """Stop, and end the run after ``grace`` seconds even if tasks are in flight."""
        self.interrupted = True
        self.stop(FoxAPIError("the run was stopped before this request was sent"))
        self._end_within(grace)

    def end_after(self, seconds: float, grace: float) -> asyncio.TimerHandle:
        """Stop in so many seconds, and end the run ``grace`` seconds later even if tasks are in flight."""

        def end() -> None:
            if self.reason is None:
                self.timed_out = True
                self.stop(FoxAPIError(f"the time of the run is over ({seconds:g} s)"))
                self._end_within(grace)

        return asyncio.get_running_loop().call_later(seconds, end)

    def _end_within(self, grace: float) -> None:
        # The loop's clock, because anyio's needs a task and signal handlers have none.
        deadline = asyncio.get_running_loop().time() + grace
        self.scope.deadline = min(self.scope.deadline, deadline)
