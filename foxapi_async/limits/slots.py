"""How many images may be in flight, and how many may be billed in all."""

from __future__ import annotations

from collections import deque

import anyio

from foxapi_async.errors import BudgetExceededError, InvalidRequestError

__all__ = ["OutputSlots"]


class _Waiter:
    __slots__ = ("admitted", "called", "outputs", "refusal")

    def __init__(self, outputs: int) -> None:
        self.outputs = outputs
        self.admitted = False
        self.called: anyio.Event | None = None
        self.refusal: BudgetExceededError | None = None


class OutputSlots:
    """Places for images in flight, handed out strictly first come, first served.

    Who asks for many places is not overtaken by who asks for few, so nobody starves.

    Places and images billed are counted apart: `take` holds both, `free` gives the places back, and
    `refund` also takes back the bill, for images that were certainly not made.
    """

    def __init__(self, places: int, total: int | None = None) -> None:
        self.places: int = places
        self.total: int | None = total
        self.in_flight: int = 0
        self.spent: int = 0
        self._queue: deque[_Waiter] = deque()

    @property
    def waiting(self) -> int:
        """How many are waiting for places."""
        return len(self._queue)

    async def take(self, outputs: int) -> None:
        """Wait for so many places and hold them.

        Raises:
            InvalidRequestError: More than there are in all.
            BudgetExceededError: More than may still be billed.
        """
        if outputs > self.places:
            raise InvalidRequestError(
                f"num_outputs is {outputs}, but Limits(outputs={self.places}) allows fewer images "
                f"in flight: split it with request.split({self.places}) or session.fan_out(), "
                "or raise the limit",
                field="num_outputs",
                value=outputs,
            )
        waiter = _Waiter(outputs)
        self._queue.append(waiter)
        try:
            self._admit_those_who_fit()
            if not waiter.admitted:
                waiter.called = anyio.Event()
                await waiter.called.wait()
        except BaseException:
            self._leave(waiter)
            raise
        if waiter.refusal is not None:
            raise waiter.refusal

    def occupy(self, outputs: int) -> None:
        """Hold places for images that are in flight already, however many there are.

        Others wait until there is room again.
        """
        self.in_flight += outputs

    def refund(self, outputs: int) -> None:
        """Give back what was held for images that were certainly not billed."""
        self.spent -= outputs
        self.free(outputs)

    def free(self, outputs: int) -> None:
        """Give back the places of images that are no longer in flight."""
        self.in_flight -= outputs
        self._admit_those_who_fit()

    def _admit_those_who_fit(self) -> None:
        while self._queue:
            waiter = self._queue[0]
            if (refusal := self._overspent(waiter.outputs)) is not None:
                waiter.refusal = refusal
            elif self.in_flight + waiter.outputs <= self.places:
                self.in_flight += waiter.outputs
                self.spent += waiter.outputs
            else:
                return
            self._queue.popleft()
            waiter.admitted = True
            if waiter.called is not None:
                waiter.called.set()

    def _leave(self, waiter: _Waiter) -> None:
        if not waiter.admitted:
            self._queue.remove(waiter)
            self._admit_those_who_fit()
        elif waiter.refusal is None:
            self.refund(waiter.outputs)

    def _overspent(self, outputs: int) -> BudgetExceededError | None:
        if self.total is None or self.spent + outputs <= self.total:
            return None
        return BudgetExceededError(
            f"{outputs} more images would exceed Limits(total_outputs={self.total}): "
            f"{self.spent} are billed or on their way",
            total=self.total,
            used=self.spent,
            requested=outputs,
        )
