"""Slots for images in flight, and the budget of images that may be billed."""

from __future__ import annotations

from collections import deque

import anyio
from attrs import define

from foxapi_async.errors import BudgetExceededError, InvalidRequestError


@define(eq=False)
class _Waiter:
    outputs: int
    admitted: bool = False
    woken: anyio.Event | None = None
    refusal: BudgetExceededError | None = None


class OutputSlots:
    """Slots for images in flight, assigned strictly first come, first served.

    A waiter that needs many slots is not overtaken by one that needs few, so no waiter starves.

    At most ``places`` images are in flight and at most ``total`` are billed; None for no limit. `take`
    counts both, `free` returns slots, and `refund` also reverses the bill.
    """

    def __init__(self, places: int, total: int | None = None) -> None:
        self.places: int = places
        self.total: int | None = total
        self.in_flight: int = 0
        self.spent: int = 0
        self._queue: deque[_Waiter] = deque()

    async def take(self, outputs: int) -> None:
        """Wait for slots; more than there are is an InvalidRequestError or BudgetExceededError."""
        if outputs > self.places:
            raise InvalidRequestError(
                f"num_outputs is {outputs}, but Limits(outputs={self.places}) allows fewer images "
                f"in flight: split it with request.split({self.places}) or session.fan_out(), "
                "or raise the limit",
                field="num_outputs",
                value=outputs,
            )
        waiter = _Waiter(outputs)
        # Even if slots are free, join the queue: a new submission must not overtake waiting ones.
        self._queue.append(waiter)
        try:
            self._admit_waiters()
            if not waiter.admitted:
                waiter.woken = anyio.Event()
                await waiter.woken.wait()
        except BaseException:
            self._remove(waiter)
            raise
        if waiter.refusal is not None:
            raise waiter.refusal

    def occupy(self, outputs: int) -> None:
        """Take slots for images that are already in flight, even if this exceeds the limit."""
        self.in_flight += outputs

    def refund(self, outputs: int) -> None:
        """Return the slots and reverse the bill of images that were certainly not created."""
        self.spent -= outputs
        self.free(outputs)

    def free(self, outputs: int) -> None:
        """Return the slots of images that are no longer in flight."""
        self.in_flight -= outputs
        self._admit_waiters()

    def _admit_waiters(self) -> None:
        while self._queue:
            waiter = self._queue[0]
            if self.total is not None and self.spent + waiter.outputs > self.total:
                images = "image" if waiter.outputs == 1 else "images"
                waiter.refusal = BudgetExceededError(
                    f"{waiter.outputs} more {images} would exceed the limit of {self.total} "
                    f"(total_outputs, --max-images): {self.spent} are billed or in flight",
                    total=self.total,
                    used=self.spent,
                    requested=waiter.outputs,
                )
            elif self.in_flight + waiter.outputs <= self.places:
                self.in_flight += waiter.outputs
                self.spent += waiter.outputs
            else:
                return
            self._queue.popleft()
            waiter.admitted = True
            if waiter.woken is not None:
                waiter.woken.set()

    def _remove(self, waiter: _Waiter) -> None:
        if not waiter.admitted:
            self._queue.remove(waiter)
            self._admit_waiters()
        elif waiter.refusal is None:
            # The cancellation arrived after admission, before the waiter could use its slots.
            self.refund(waiter.outputs)
