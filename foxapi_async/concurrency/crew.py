"""Tasks that are used again, for work of which there is much and each piece is short."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

__all__ = ["Crew"]

T = TypeVar("T")


class Crew(Generic[T]):
    """Does each job in a task that waits for the next one when it is done.

    A new task costs as much as a fifth of a request. All jobs see the context variables of whoever
    gives them, so a crew is for jobs of one origin only.

    Args:
        start: Runs an async function with its argument in a new task.
        work: Does a job. What it raises ends its task, and no other.
    """

    def __init__(
        self,
        start: Callable[[Callable[[T], Coroutine[Any, Any, None]], T], object],
        work: Callable[[T], Awaitable[object]],
    ) -> None:
        self._start = start
        self._work = work
        self._idle: list[asyncio.Future[T | None]] = []
        self._dismissed = False

    @property
    def is_idle(self) -> bool:
        """Whether somebody waits for work."""
        return bool(self._idle)

    def give(self, job: T) -> None:
        """Have a job done by whoever is idle, or by a new task."""
        while self._idle:
            seat = self._idle.pop()
            if not seat.done():  # one that was cancelled from outside
                seat.set_result(job)
                return
        self._start(self._serve, job)

    def dismiss(self) -> None:
        """Let the idle go, and the others as soon as their work is done."""
        self._dismissed = True
        while self._idle:
            seat = self._idle.pop()
            if not seat.done():
                seat.set_result(None)

    async def _serve(self, job: T) -> None:
        following: T | None = job
        while following is not None:
            await self._work(following)
            if self._dismissed:
                return
            seat: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
            self._idle.append(seat)
            try:
                following = await seat
            except asyncio.CancelledError:
                if seat.done() and not seat.cancelled() and (given := seat.result()) is not None:
                    self.give(given)  # cancelled from outside in the moment in which it got work
                raise
