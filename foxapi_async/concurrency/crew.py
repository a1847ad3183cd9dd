"""Tasks that are used again, for work of which there is much and each piece is short."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio.abc

__all__ = ["Crew"]

T = TypeVar("T")


class Crew(Generic[T]):
    """Does each job in a task that waits for the next one when it is done.

    Args:
        group: Where the tasks run.
        work: Does a job. What it raises ends the group.
    """

    def __init__(self, group: anyio.abc.TaskGroup, work: Callable[[T], Awaitable[object]]) -> None:
        self._group = group
        self._work = work
        self._idle: list[asyncio.Future[T]] = []

    def give_idle(self, job: T) -> bool:
        """Give a job to an idle task, and return whether there was one. Callbacks may call this."""
        while self._idle:
            seat = self._idle.pop()
            if not seat.done():  # done: its task was cancelled from outside
                seat.set_result(job)
                return True
        return False

    def give(self, job: T) -> None:
        """Give a job to an idle task or to a new one.

        Only a task may call this: anyio starts tasks from nowhere else (with sniffio installed it
        raises `NoEventLoopError`).
        """
        if not self.give_idle(job):
            self._group.start_soon(self._serve, job)

    @property
    def has_idle(self) -> bool:
        """Whether `give_idle` would find a task."""
        return any(not seat.done() for seat in self._idle)

    async def _serve(self, job: T) -> None:
        while True:
            await self._work(job)
            seat: asyncio.Future[T] = asyncio.get_running_loop().create_future()
            self._idle.append(seat)
            try:
                job = await seat
            except asyncio.CancelledError:
                # Raised again, it would end the group, if somebody cancelled this task alone. If all
                # are cancelled, a task that returns is as good.
                if seat.done() and not seat.cancelled():
                    self.give(seat.result())  # cancelled in the moment in which it got work
                return
