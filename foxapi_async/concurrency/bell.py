"""A signal for many who wait, again and again."""

from __future__ import annotations

import anyio

__all__ = ["Bell"]


class Bell:
    """Wakes all who wait at the moment in which it rings; an `anyio.Event` rings only once.

    Who finds that there is nothing to do and waits, without a pause between the two, misses no ring.
    """

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next: anyio.Event | None = None

    def ring(self) -> None:
        """Wake all who wait."""
        rung, self._next = self._next, None
        if rung is not None:
            rung.set()

    async def wait(self) -> None:
        """Wait for the next ring."""
        # Made here, because most rings are heard by nobody.
        self._next = self._next or anyio.Event()
        await self._next.wait()
