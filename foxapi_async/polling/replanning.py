"""Which tasks in flight are planned anew after something was learned, a few at a time."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from itertools import islice

from foxapi_async.polling.tracked_task import TrackedTask

__all__ = ["Replanning"]

_AT_ONCE = 200
"""Tasks that are gone through in one turn of the event loop: half a millisecond of work."""


class Replanning:
    """Goes through the tasks of the groups of which something was learned.

    What is learned while it does so counts for the tasks that are still to come; the rest of that group follows in
    another round.
    """

    def __init__(self, watches: Mapping[str, TrackedTask]) -> None:
        self._watches = watches
        self._groups: frozenset[Hashable] = frozenset()
        self._next_groups: set[Hashable] = set()
        self._left: Iterator[TrackedTask] = iter(())

    def ask(self, group: Hashable) -> None:
        """Plan the tasks of a group anew."""
        self._next_groups.add(group)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to be gone through."""
        return not (self._groups or self._next_groups)

    def some(self) -> list[TrackedTask]:
        """Return the next few tasks; an empty list does not mean that it is done."""
        if not self._groups:
            if not self._next_groups:
                return []
            self._groups, self._next_groups = frozenset(self._next_groups), set()
            self._left = iter(tuple(self._watches.values()))
        few = list(islice(self._left, _AT_ONCE))
        groups = self._groups
        if len(few) < _AT_ONCE:
            self._groups, self._left = frozenset(), iter(())
        return [watch for watch in few if watch.group in groups and not watch.ended]
