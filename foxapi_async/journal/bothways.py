"""Results that are there at once and may be awaited all the same.

``journal.unfinished()`` does its work when it is called, so that it can be used from a REPL, a
script, or a coroutine; what it returns can also be awaited, for those who expect that of an asyncio
package. Awaiting gives the same object, without a pause.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Self

from foxapi_async.journal.entry import Entry

__all__ = ["Count", "Entries"]


class _AlsoAwaitable:
    __slots__ = ()

    def __await__(self) -> Generator[None, None, Self]:
        yield from ()
        return self


class Entries(_AlsoAwaitable, list[Entry]):
    """A list of entries, oldest first, that may be awaited."""


class Count(_AlsoAwaitable, int):
    """A number that may be awaited."""
