"""Work on files in worker threads, which come to their end whoever cancels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar, TypeVarTuple
from weakref import WeakKeyDictionary

import anyio

__all__ = ["Job", "in_thread"]

T = TypeVar("T")
P = TypeVarTuple("P")

_MOST: Final = 12
"""Threads for each event loop: more than there are cores, because they wait for disks; but with 32
of them, which contend for the interpreter's lock, downloads were a quarter slower."""

# Not the threads that the loop has anyway: those look up host names, which shall not wait for a disk.
# A process that was forked has no threads, but it has another loop as well.
_pools: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadPoolExecutor]] = (
    WeakKeyDictionary()
)


class Job:
    """A function that runs in a worker thread, from now on."""

    def __init__(self, function: Callable[[*P], object], *args: *P) -> None:
        self._future = _begun(function, *args)

    async def ended(self) -> None:
        """Wait until the function has ended, even if cancelled meanwhile; raise what it raised."""
        await _settled(self._future)


async def in_thread(function: Callable[[*P], T], *args: *P) -> T:
    """Return what a function returns that runs in a worker thread.

    A thread cannot be stopped. So a cancellation waits until the function has ended; otherwise a
    file would still be written to while it is being removed.
    """
    return await _settled(_begun(function, *args))


def _begun(function: Callable[[*P], T], *args: *P) -> asyncio.Future[T]:
    loop = asyncio.get_running_loop()
    pool = _pools.get(loop)
    if pool is None:
        pool = _pools[loop] = ThreadPoolExecutor(_MOST, "foxapi-files")
    return loop.run_in_executor(pool, function, *args)


async def _settled(future: asyncio.Future[T]) -> T:
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError as error:
        cancelled = error
    # The scope keeps anyio's cancellation out, the loop the one of plain asyncio.
    with anyio.CancelScope(shield=True):
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as error:
                cancelled = error
    if not future.cancelled():
        future.exception()
    raise cancelled
