"""Work on files in worker threads, which come to their end whoever cancels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import anyio
import anyio.to_thread

__all__ = ["Job", "in_thread"]

T = TypeVar("T")
P = TypeVarTuple("P")


class Job:
    """A function that runs in a worker thread, from now on."""

    def __init__(self, function: Callable[[*P], object], *args: *P) -> None:
        self._task = asyncio.ensure_future(anyio.to_thread.run_sync(function, *args))

    async def ended(self) -> None:
        """Wait until the function has ended, even if cancelled meanwhile; raise what it raised."""
        await _settled(self._task)


async def in_thread(function: Callable[[*P], T], *args: *P) -> T:
    """Return what a function returns that runs in a worker thread.

    A thread cannot be stopped. So a cancellation waits until the function has ended; otherwise a
    file would still be written to while it is being removed.
    """
    return await _settled(asyncio.ensure_future(anyio.to_thread.run_sync(function, *args)))


async def _settled(task: asyncio.Future[T]) -> T:
    cancelled: asyncio.CancelledError | None = None
    # The scope keeps anyio's cancellation out, the loop the one of plain asyncio.
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()
        raise cancelled
    return task.result()
