"""Waiting that no cancellation can cut short, for what must be brought to its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

__all__ = ["see_through"]


async def see_through(wait: Callable[[], Awaitable[object]]) -> None:
    """Call and await ``wait`` until it returns, whoever cancels; then let the cancellation go on.

    A shield keeps out cancel scopes. It does not keep out ``Task.cancel()``, which is what
    ``asyncio.timeout``, ``asyncio.wait_for`` and web servers use, so that is caught and raised again
    at the end. ``wait`` may be called several times; what it awaits must outlive a cancelled call.
    """
    cancellation: BaseException | None = None
    done = False
    with anyio.CancelScope(shield=True):
        while not done:
            try:
                await wait()
                done = True
            except anyio.get_cancelled_exc_class() as error:
                cancellation = error
    if cancellation is not None:
        raise cancellation
